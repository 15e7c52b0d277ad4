"""What was extracted only in part, or only of one shard, is never trained on as if whole."""

import contextlib
import json
import os
import signal
import time
from concurrent import futures

import numpy as np
import pytest
from commands import SMALL_HEAD, run_program, run_python, run_with_small_files, start_program
from media import make_numbered_frames, write_video
from refusals import refusal
from small_cache import list_files
from small_extraction import assert_same_features, extract
from small_imports import CLIP_IDS, make_features, write_features
from test_extract_resume import hold_back, is_waited_for

from extract_features.clip_list import read_failures
from lrcn.common.cache.cache_lock import Shard
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_manifest
from train_head.run.run_clips import check_cached


def train(cache_dir, run_dir):
    flags = (f"--cache_dir={cache_dir}", f"--run_dir={run_dir}", *SMALL_HEAD, "--rnn=none")
    done = run_program("train_head", *flags, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_what_is_stopped_before_the_first_clip_leaves_no_stale_features(
    data, cache_copy, cache_dir
):
    content = json.loads((cache_copy / "cache.json").read_text())
    (cache_copy / "cache.json").write_text(json.dumps({**content, "data_root": str(data)}))
    (data / "left").rename(data / "swap")
    (data / "right").rename(data / "left")
    (data / "swap").rename(data / "right")
    # Times tell the contents apart.
    for frame in data.glob("*/*/0.png"):
        frame.touch()
    for video in data.glob("*/*.mp4"):
        video.touch()
    flags = (f"--data={data}", f"--cache_dir={cache_copy}", "--num_decode_threads=1")
    frame = data / "left" / "clip_0" / "0.png"
    with contextlib.ExitStack() as held:
        held.enter_context(hold_back(frame))
        with start_program("extract_features", *flags) as extraction:
            extraction.wait_until(lambda: is_waited_for(frame))
            num_threads = extraction.count_threads()
            extraction.send_signal(signal.SIGINT)
            extraction.wait_until(lambda: extraction.count_threads() < num_threads)  # it has heard
            held.close()
            assert extraction.wait() == 130
    cache = read_cache(cache_copy)
    text = (
        f"{cache_copy}: 16 of 16 clips are not in the cache, such as {cache_copy}/clips/left/clip_0"
        ".h5. Where it is of other data, name the cache of these; else finish extract_features (or "
    )
    with refusal(text, FileNotFoundError):
        check_cached(read_manifest(cache.manifest_path), cache, listed_in=cache.manifest_path)
    # What is made then is what a new cache would have: the features of the classes' other names.
    extract(data, cache_copy)
    for folder, name in (("left", "swap"), ("right", "left"), ("swap", "right")):
        (cache_copy / "clips" / folder).rename(cache_copy / "clips" / name)
    assert_same_features(cache_copy, cache_dir)
    assert list_files(cache_copy) == list_files(cache_dir)


def test_a_clip_that_changes_while_it_is_read_fails(data, cache_copy, caplog):
    caplog.set_level("INFO", logger="absl")
    clip = data / "left" / "clip_0"
    (cache_copy / "clips" / "left" / "clip_0.h5").unlink()
    with futures.ThreadPoolExecutor() as thread:
        with hold_back(clip / "4.png"):
            extraction = thread.submit(extract, data, cache_copy)
            while "1 of 16 clips to extract" not in caplog.text and not extraction.done():
                time.sleep(0.01)
            with open(clip / "0.png", "ab") as frame:
                frame.write(b" ")
        ((failed, reason),) = extraction.result().result.failures
    assert failed.clip_id == "left/clip_0"
    assert reason.startswith(f"{clip}: changed since the extraction began, so its features may")
    assert not (cache_copy / "clips" / "left" / "clip_0.h5").exists()
    assert extract(data, cache_copy).result.clips_done == 1


@pytest.fixture
def write_spans(tmp_path):
    """Writes a manifest of a second of each of six videos, from `start_sec` on."""

    def write(start_sec):
        clips = []
        for label in ("walk", "run"):
            for split in ("train", "val", "test"):
                path = f"{label}_{split}.mp4"
                if not (tmp_path / path).exists():
                    write_video(tmp_path / path, make_numbered_frames(20), fps=10)
                span = {"start_sec": start_sec, "end_sec": start_sec + 1}
                clips.append(Clip(f"{label}/{split}", path, label, split, **span))
        write_manifest(tmp_path / "spans.csv", clips)
        return tmp_path / "spans.csv"

    return write


def test_clips_of_another_shard_with_other_spans_are_not_trained_on(write_spans, tmp_path):
    cache = tmp_path / "cache"
    extract(write_spans(0.0), cache)
    data = write_spans(0.5)
    extract(data, cache, shard=Shard(0, 2))
    clip_ids = [clip.clip_id for clip in read_manifest(data)]
    shard = [clip_id for clip_id in clip_ids if Shard(1, 2).holds(clip_id)]
    assert 0 < len(shard) < 6
    done = train(cache, tmp_path / "run")
    assert done.returncode == 1
    assert (
        f"error: {cache}: {len(shard)} of 6 clips hold another span than {cache}/manifest.csv "
        f"lists, such as {cache}/clips/{shard[0]}.h5. Finish extract_features (of shards, all) "
        "or import_features first: it makes them anew."
    ) in done.stderr
    assert not (tmp_path / "run").exists()
    extract(data, cache, shard=Shard(1, 2))
    check_cached(read_manifest(data), read_cache(cache), listed_in=data)


def test_an_import_that_ends_early_leaves_no_stale_features(run_import, manifest, tmp_path):
    features = make_features()
    folder = write_features(tmp_path / "features", features)
    run_import(folder)
    kept, first, *others = CLIP_IDS
    np.save(folder / f"{first}.npy", np.random.default_rng(0).random((10_000, 5)))
    for clip_id in others:
        np.save(folder / f"{clip_id}.npy", features[clip_id] + 1)
    flags = (f"--features={folder}", f"--data={manifest}", f"--cache_dir={tmp_path}/cache")
    # No file may be as large as the first of the changed clips.
    module = "extract_features.import_features"
    done = run_with_small_files(module, *flags, max_file_bytes=2**15)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert list_files(tmp_path / "cache" / "clips") == [f"{kept}.h5"]
    assert "5 clips done, 1 skipped" in run_import(folder)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:1000])


def write_other_values(path):
    with open(path, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))


@pytest.mark.parametrize("change", [cut_off, write_other_values], ids=lambda x: x.__name__)
@pytest.mark.parametrize("name", ["features.h5", "features"])
def test_features_that_change_while_they_are_imported_fail(manifest, tmp_path, name, change):
    features = {**make_features(), CLIP_IDS[0]: np.ones((20_000, 5), np.float32)}
    path = write_features(tmp_path / name, features)
    cache_dir = tmp_path / "cache"
    flags = (f"--features={path}", f"--data={manifest}", f"--cache_dir={cache_dir}")
    with start_program("extract_features.import_features", *flags) as features_import:
        features_import.wait_until(lambda: [*cache_dir.rglob(".*.h5.tmp")])
        change(path / f"{CLIP_IDS[0]}.npy" if path.is_dir() else path)
        status, log = features_import.wait(), features_import.read_output()
    assert status == 1 and "Traceback" not in log, log
    assert CLIP_IDS[0] in read_failures(read_cache(cache_dir))
    assert not read_cache(cache_dir).clip_path(CLIP_IDS[0]).exists()
    if path.is_dir():
        assert "5 clips done, 0 skipped (already there), 1 failed" in log


def test_a_file_that_replaces_opened_features_is_not_taken_for_them(manifest, run_import, tmp_path):
    features = make_features()
    path = write_features(tmp_path / "features.h5", features)
    new = write_features(tmp_path / "new.h5", {x: 2 * array for x, array in features.items()})
    program = (
        "import os, runpy, sys\n"
        "def replace(event, values):\n"
        "    if event == 'open' and str(values[0]).endswith('.lock'):\n"
        f"        os.replace('{new}', '{path}')\n"
        "sys.addaudithook(replace)\n"
        "runpy.run_module('extract_features.import_features', run_name='__main__')\n"
    )
    flags = (f"--features={path}", f"--data={manifest}", f"--cache_dir={tmp_path}/cache")
    done = run_python(program, *flags, check=False)
    assert done.returncode == 1 and f"{path}: changed since the import began" in done.stderr
    assert "6 clips done, 0 skipped" in run_import(path)
    found = read_cache(tmp_path / "cache").read_clip(CLIP_IDS[0]).feature_maps
    np.testing.assert_array_equal(found, (2 * features[CLIP_IDS[0]]).astype(np.float16))
