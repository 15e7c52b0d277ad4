"""Stage 1 from clips to cache: right, done once, and nothing lost when it is stopped."""

import csv
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time

import keras
import numpy as np
import pytest
from commands import ROOT, SMALL_BACKBONE, make_command, run_program

from extract_features.backbone_settings import BackboneSettings
from extract_features.clip_list import DataSettings
from extract_features.extract import extract_features
from lrcn.common import backbone
from lrcn.common.cache_lock import lock_cache
from lrcn.common.clip import Clip
from lrcn.common.decode import iter_frames
from lrcn.common.feature_cache import read_cache
from lrcn.common.manifest import read_class_names, read_manifest, write_manifest

SMALL_SETTINGS = BackboneSettings(weights="random", image_size=32, compute_dtype="float32")
NUM_CLIPS = 16
NUM_FRAMES = 136
# See test_backbone.py.
FLOAT16_TOLERANCE = 2e-3
_PATIENCE_SEC = 90


@pytest.fixture
def data(clips_dir, tmp_path):
    """A copy of the clips, which a test may change."""
    return shutil.copytree(clips_dir, tmp_path / "data")


@pytest.fixture
def cache_copy(cache_dir, tmp_path):
    """A copy of the cache, which a test may change; it is also current for a copy of the clips."""
    return shutil.copytree(cache_dir, tmp_path / "cache")


def extract(data, cache_dir, settings=SMALL_SETTINGS, **options):
    """Extracts in this process."""
    return extract_features(
        DataSettings(data=data, skip_unreadable=options.pop("skip_unreadable", None)),
        settings,
        cache_dir=cache_dir,
        **{
            "batch_size": 16,
            "num_decode_threads": 2,
            "compression": "gzip",
            **options,
        },
    )


def read_all(cache_dir):
    cache = read_cache(cache_dir)
    return {x.clip_id: cache.read_clip(x.clip_id) for x in read_manifest(cache.manifest_path)}


def assert_same_features(cache_dir, expected_dir):
    found, expected = read_all(cache_dir), read_all(expected_dir)
    assert found.keys() == expected.keys()
    for clip_id, features in expected.items():
        for array, expected_array in zip(found[clip_id], features, strict=True):
            np.testing.assert_array_equal(array, expected_array, err_msg=clip_id)


def list_files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def snapshot_clips(cache_dir):
    """What a clip that is written again would change."""
    paths = (cache_dir / "clips").rglob("*.h5")
    return {
        str(path.relative_to(cache_dir / "clips")): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in paths
    }


def test_the_cache_holds_what_its_manifest_lists(cache_dir, clips_dir):
    cache = read_cache(cache_dir)
    clips = read_manifest(cache.manifest_path)
    expected = {f"{label}/clip_{i}" for label in ("left", "right") for i in range(8)}
    assert {clip.clip_id for clip in clips} == expected
    assert {f"{clip.clip_id}.h5" for clip in clips} == set(snapshot_clips(cache_dir))
    assert {clip.split for clip in clips} == {"train", "val", "test"}
    assert read_class_names(cache.classes_path) == ["left", "right"]
    assert cache.data_root == str(clips_dir.resolve())
    assert {name for name in list_files(cache_dir) if not name.startswith("clips/")} == {
        ".lock",
        "cache.json",
        "classes.txt",
        "manifest.csv",
    }
    contract = cache.contract
    assert (contract.backbone, contract.cut, contract.weights) == (
        "vgg16",
        "block5_pool",
        "random",
    )
    assert (contract.image_size_px, contract.feature_shape) == (32, (1, 1, 512))
    assert (contract.compute_dtype, contract.storage_dtype) == ("float32", "float16")


def test_every_frame_is_there_with_its_number_and_time(cache_dir):
    for clip_id, features in read_all(cache_dir).items():
        num_frames = 5 + int(clip_id[-1])
        assert features.feature_maps.shape == (num_frames, 1, 1, 512)
        assert features.frame_index.tolist() == list(range(num_frames))
        if clip_id.endswith("clip_7"):  # the videos, at 10 frames a second
            np.testing.assert_allclose(features.timestamp_sec, 0.1 * np.arange(num_frames))
        else:
            assert np.isnan(features.timestamp_sec).all()


def test_batches_that_span_clips_give_what_each_clip_gives_alone(cache_dir, clips_dir):
    vgg16 = backbone.build_vgg16(weights="random", cut="block5_pool", image_size=32)
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    cache = read_cache(cache_dir)
    for clip in read_manifest(cache.manifest_path):
        frames = list(iter_frames(clips_dir / clip.path, image_size=32))
        expected = np.asarray(bottom(np.stack([frame.pixels for frame in frames])))
        np.testing.assert_allclose(
            cache.read_clip(clip.clip_id).feature_maps,
            expected,
            rtol=FLOAT16_TOLERANCE,
            atol=1e-4 * expected.max(),
            err_msg=clip.clip_id,
        )


@pytest.mark.parametrize("num_decode_threads", [1, 4])
def test_the_number_of_threads_changes_nothing(cache_dir, clips_dir, tmp_path, num_decode_threads):
    summary = extract(clips_dir, tmp_path / "new", num_decode_threads=num_decode_threads)
    assert (summary.result.clips_done, summary.result.frames) == (NUM_CLIPS, NUM_FRAMES)
    assert_same_features(tmp_path / "new", cache_dir)


def test_a_clip_may_be_a_time_span(cache_dir, clips_dir, tmp_path):
    clips = [
        Clip("start", "left/clip_7.mp4", "left", "train", end_sec=0.35),
        Clip("middle", "right/clip_7.mp4", "right", "train", start_sec=0.3, end_sec=0.8),
    ]
    write_manifest(tmp_path / "spans.csv", clips)
    extract_features(
        DataSettings(data=tmp_path / "spans.csv", data_root=clips_dir, val_fraction=0),
        SMALL_SETTINGS,
        cache_dir=tmp_path / "new",
        batch_size=16,
        num_decode_threads=1,
        compression="gzip",
    )
    whole, spans = read_cache(cache_dir), read_all(tmp_path / "new")
    for clip_id, source, rows in (
        ("start", "left/clip_7", slice(0, 4)),
        ("middle", "right/clip_7", slice(3, 8)),
    ):
        expected = whole.read_clip(source)
        np.testing.assert_array_equal(spans[clip_id].timestamp_sec, expected.timestamp_sec[rows])
        np.testing.assert_array_equal(spans[clip_id].feature_maps, expected.feature_maps[rows])
        assert spans[clip_id].frame_index.tolist() == list(range(rows.stop - rows.start))

    write_manifest(tmp_path / "spans.csv", [dataclasses.replace(clips[0], end_sec=0.25), clips[1]])
    summary = extract_features(
        DataSettings(data=tmp_path / "spans.csv", data_root=clips_dir, val_fraction=0),
        SMALL_SETTINGS,
        cache_dir=tmp_path / "new",
        batch_size=16,
        num_decode_threads=1,
        compression="gzip",
    )
    assert (summary.result.clips_done, summary.skipped) == (1, 1)
    assert read_cache(tmp_path / "new").count_frames("start") == 3


@pytest.mark.parametrize("flags", [SMALL_BACKBONE, ()], ids=["same_flags", "no_flags"])
def test_running_again_redoes_nothing_and_imports_no_tensorflow(clips_dir, cache_copy, flags):
    before = snapshot_clips(cache_copy)
    done = run_program(
        "extract_features",
        f"--data={clips_dir}",
        f"--cache_dir={cache_copy}",
        *flags,
        env={"PYTHONPROFILEIMPORTTIME": "1"},
    )
    assert "0 clips done, 16 skipped (already there), 0 failed; 0 frames" in done.stderr
    assert snapshot_clips(cache_copy) == before
    assert re.search(r"\| +numpy\n", done.stderr)
    assert not re.search(r"\| +(tensorflow|keras)\n", done.stderr)
    assert done.stdout == ""


def test_only_new_and_changed_clips_are_done_under_the_settings_of_the_cache(data, cache_copy):
    before = snapshot_clips(cache_copy)
    # The first and the last frame change places; their sizes stay as they are.
    frames = [data / "left" / "clip_0" / name for name in ("0.png", "4.png")]
    contents = [path.read_bytes() for path in frames]
    for path, content in zip(frames, reversed(contents), strict=True):
        path.write_bytes(content)
    shutil.copytree(data / "left" / "clip_2", data / "right" / "clip_8")
    done = run_program("extract_features", f"--data={data}", f"--cache_dir={cache_copy}")
    assert "2 of 17 clips to extract" in done.stderr
    assert "2 clips done, 15 skipped (already there), 0 failed; 12 frames" in done.stderr
    assert done.stdout == ""
    after = snapshot_clips(cache_copy)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"left/clip_0.h5", "right/clip_8.h5"}
    features = read_all(cache_copy)
    assert len(features) == 17
    np.testing.assert_array_equal(
        features["right/clip_8"].feature_maps, features["left/clip_2"].feature_maps
    )
    # `right/clip_0` is the reverse of what `left/clip_0` was.
    np.testing.assert_array_equal(
        features["left/clip_0"].feature_maps[[0, 4]], features["right/clip_0"].feature_maps[[0, 4]]
    )


def test_weights_from_a_file_are_known_by_what_they_are(clips_dir, cache_copy, tmp_path):
    before = snapshot_clips(cache_copy)
    path = tmp_path / "vgg16.weights.h5"
    vgg16 = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    random = backbone.build_vgg16(weights="random", cut="block5_pool", image_size=32)
    vgg16.set_weights(random.get_weights())
    settings = BackboneSettings(weights=os.path.relpath(path))
    for _ in range(2):
        vgg16.save_weights(path)
        assert extract(clips_dir, cache_copy, settings).skipped == NUM_CLIPS
    assert snapshot_clips(cache_copy) == before
    kernel = vgg16.get_layer("block1_conv1").kernel
    kernel.assign(kernel * 1.01)
    vgg16.save_weights(path)
    # The file of the same name holds others now.
    for weights in (settings.weights, str(path)):
        with pytest.raises(ValueError, match=r"made with weights_sha256=7c92030ee7de\.\.\., but"):
            extract(clips_dir, cache_copy, BackboneSettings(weights=weights))
    path.unlink()


def test_other_settings_are_refused_by_name(clips_dir, cache_copy):
    before = snapshot_clips(cache_copy)
    done = run_program(
        "extract_features",
        f"--data={clips_dir}",
        f"--cache_dir={cache_copy}",
        "--image_size=64",
        "--cut=block4_pool",
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"error: {cache_copy}/cache.json: made with cut=block5_pool, image_size_px=32, "
        "feature_shape=(1, 1, 512), but this run needs cut=block4_pool, image_size_px=64, "
        "feature_shape=(4, 4, 512). Leave out the flags that differ to use the cache as it is, or "
        "name another --cache_dir."
    ) in done.stderr
    assert snapshot_clips(cache_copy) == before


def test_other_data_is_refused(clips_dir, cache_copy, tmp_path):
    files = list_files(cache_copy)
    manifest = (cache_copy / "manifest.csv").read_bytes()
    for label in ("walk", "run"):
        for i in range(2):
            shutil.copytree(clips_dir / "left" / "clip_0", tmp_path / "other" / label / f"{i}")
    done = run_program(
        "extract_features", f"--data={tmp_path}/other", f"--cache_dir={cache_copy}", check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {cache_copy}: holds other data ({clips_dir}; none of its" in done.stderr
    assert list_files(cache_copy) == files
    assert (cache_copy / "manifest.csv").read_bytes() == manifest


def test_a_class_that_the_cache_does_not_know_is_refused(data, cache_copy):
    shutil.move(data / "right", data / "run")
    with pytest.raises(ValueError, match=r"unknown label 'run'\. The classes are 'left', 'right'"):
        extract(data, cache_copy)
    assert read_class_names(cache_copy / "classes.txt") == ["left", "right"]


def test_a_second_extraction_at_once_is_refused(clips_dir, cache_copy):
    with lock_cache(cache_copy):
        done = run_program(
            "extract_features", f"--data={clips_dir}", f"--cache_dir={cache_copy}", check=False
        )
    assert done.returncode == 1
    assert f"error: {cache_copy}: another extraction is writing to this cache." in done.stderr


def test_overflow_is_a_failure_of_the_clip(clips_dir, tmp_path):
    path = tmp_path / "vgg16.weights.h5"
    vgg16 = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    random = backbone.build_vgg16(weights="random", cut="block5_pool", image_size=32)
    vgg16.set_weights(random.get_weights())
    kernel = vgg16.get_layer("block5_conv3").kernel
    kernel.assign(kernel * 1e6)
    vgg16.save_weights(path)
    settings = BackboneSettings(weights=str(path), image_size=32, compute_dtype="float32")
    summary = extract(clips_dir, tmp_path / "cache", settings)
    path.unlink()
    assert summary.result.clips_done == 0 and len(summary.result.failures) == NUM_CLIPS
    for clip, reason in summary.result.failures:
        assert reason.startswith(f"{clip.clip_id}: a feature of the frames ")
        assert "is not finite in float16" in reason
    assert snapshot_clips(tmp_path / "cache") == {}
    assert not list((tmp_path / "cache").rglob("*.tmp"))


@pytest.fixture
def stuck_data(data):
    """The clips, but reading frame 7 of `right/clip_6` waits for ever, as the frame is a pipe."""
    frame = data / "right" / "clip_6" / "7.png"
    frame.rename(frame.with_suffix(".whole"))
    os.mkfifo(frame)
    return data


def start_and_wait_for(cache_dir, data, half_written):
    """Starts an extraction, and returns when it has written a part of a clip."""
    command = make_command(
        "extract_features",
        f"--data={data}",
        f"--cache_dir={cache_dir}",
        *SMALL_BACKBONE,
        "--num_decode_threads=1",  # the clips come in order
    )
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline_sec = time.monotonic() + _PATIENCE_SEC
    while not (cache_dir / "clips" / half_written).exists():
        if process.poll() is not None or time.monotonic() > deadline_sec:
            process.kill()
            raise AssertionError(f"{half_written} did not appear:\n{process.communicate()[0]}")
        time.sleep(0.02)
    return process


def test_stopped_then_killed_then_resumed_equals_uninterrupted(stuck_data, cache_dir, tmp_path):
    cache = tmp_path / "new"
    pipe = stuck_data / "right" / "clip_6" / "7.png"
    # 113 frames come before `clip_6`, so that seven batches of 16 leave out one of `clip_5`.
    process = start_and_wait_for(cache, stuck_data, "right/.clip_5.h5.tmp")
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    os.close(os.open(pipe, os.O_WRONLY))  # the decoder's read ends
    output = process.communicate(timeout=_PATIENCE_SEC)[0]
    assert process.returncode == 130
    assert "Stopped. What was finished is kept." in output
    assert "Traceback" not in output
    finished = snapshot_clips(cache)
    assert len(finished) == 13
    assert not list(cache.rglob("*.tmp"))

    # Now 10 frames of `clip_5` and 7 of `clip_6`, so that a batch ends in the latter.
    process = start_and_wait_for(cache, stuck_data, "right/.clip_6.h5.tmp")
    process.kill()
    process.communicate()
    assert (cache / "clips" / "right" / ".clip_6.h5.tmp").exists()
    after_kill = snapshot_clips(cache)
    assert len(after_kill) == 14 and finished.items() <= after_kill.items()

    pipe.unlink()
    pipe.with_suffix(".whole").rename(pipe)
    done = run_program("extract_features", f"--data={stuck_data}", f"--cache_dir={cache}")
    assert "2 clips done, 14 skipped (already there), 0 failed; 23 frames" in done.stderr
    assert after_kill.items() <= snapshot_clips(cache).items()
    assert_same_features(cache, cache_dir)
    assert list_files(cache) == list_files(cache_dir)


def test_half_a_clip_of_a_killed_run_goes_even_if_nobody_writes_it_again(clips_dir, cache_copy):
    half = cache_copy / "clips" / "left" / ".gone.h5.tmp"
    half.write_bytes(b"half")
    run_program("extract_features", f"--data={clips_dir}", f"--cache_dir={cache_copy}")
    assert not half.exists()


def test_unreadable_clips_are_listed_and_may_be_skipped(data, cache_copy):
    frame = data / "left" / "clip_3" / "5.png"
    content = frame.read_bytes()
    frame.write_bytes(content[:60])
    flags = (f"--data={data}", f"--cache_dir={cache_copy}")
    # What the cache had of it before it was damaged is not what the clip is now.
    done = run_program("extract_features", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "0 clips done, 15 skipped (already there), 1 failed" in done.stderr
    reason = f"{frame} (frame 5): "
    assert f"failed: left/clip_3: {reason}" in done.stderr
    assert f"Failed clips: 1, all listed in {cache_copy}/failures.csv" in done.stderr
    assert "Mend or remove them and run again, or go on without: --skip_unreadable" in done.stderr
    with open(cache_copy / "failures.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["clip_id"], row["path"]) == ("left/clip_3", "left/clip_3")
    assert row["reason"].startswith(reason)
    assert len(read_manifest(cache_copy / "manifest.csv")) == NUM_CLIPS

    summary = extract(data, cache_copy, skip_unreadable=True)
    assert len(summary.result.failures) == 1
    left = {clip.clip_id for clip in read_manifest(cache_copy / "manifest.csv")}
    assert len(left) == NUM_CLIPS - 1 and "left/clip_3" not in left

    frame.write_bytes(content)
    summary = extract(data, cache_copy)
    assert (summary.result.clips_done, summary.skipped) == (1, NUM_CLIPS - 1)
    assert not (cache_copy / "failures.csv").exists()
    assert len(read_manifest(cache_copy / "manifest.csv")) == NUM_CLIPS
