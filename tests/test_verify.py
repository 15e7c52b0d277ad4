"""The command names what is wrong with a cache, and the next extraction mends it."""

import datetime
import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
from commands import run_and_list_imports, run_program
from media import make_numbered_frames, write_frame_folder
from small_cache import damage_frame
from small_data import read_cache_bytes
from small_extraction import assert_same_features, extract

from lrcn.common.cache.cache_lock import lock_cache
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_manifest


def verify(cache_dir, *flags, check=False):
    """Runs the program; returns {clip_id: (kind, reason)}, its log and its status."""
    done = run_program("extract_features.verify", f"--cache_dir={cache_dir}", *flags, check=check)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {clip_id: (kind, reason) for kind, clip_id, reason in rows}, done.stderr, done.returncode


@pytest.fixture
def cache_copy(cache_dir, data, tmp_path):
    """A copy of the cache, which knows the copy of the clips as its source."""
    copy = shutil.copytree(cache_dir, tmp_path / "cache")
    content = json.loads((copy / "cache.json").read_text())
    (copy / "cache.json").write_text(json.dumps({**content, "data_root": str(data)}))
    return copy


def test_a_whole_cache_is_left_alone_without_tensorflow(cache_dir, tmp_path):
    copy = shutil.copytree(cache_dir, tmp_path / "cache")
    for flags in ((), ("--repair",)):
        done, imported = run_and_list_imports(
            "extract_features.verify", f"--cache_dir={copy}", *flags
        )
        assert done.stdout == ""
        assert (
            "0 damaged, 0 unreadable, 0 missing, 0 stale, 0 foreign, 0 source missing"
            in done.stderr
        )
        assert "tensorflow" not in imported and "numpy" in imported
        assert read_cache_bytes(copy) == read_cache_bytes(cache_dir)


def test_a_source_of_any_year_is_extracted_and_current(make_small_disk, tmp_path):
    data = make_small_disk(1024)
    # Windows gives a file without a date that of 1601; years after 2262 are beyond 64 bits too.
    for split, year in (("train", 1601), ("test", 2300)):
        folder = write_frame_folder(data / split / "left" / "clip", make_numbered_frames(2))
        time_sec = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()
        os.utime(folder / "0.png", (time_sec, time_sec))
        os.utime(folder / "1.png", (time_sec, time_sec))
    assert extract(data, tmp_path / "cache").result.clips_done == 2
    assert extract(data, tmp_path / "cache").skipped == 2
    assert verify(tmp_path / "cache")[0] == {}


def test_every_damage_is_named_and_repaired(cache_dir, cache_copy, data):
    clips = cache_copy / "clips"
    left, right = clips / "left", clips / "right"
    damage_frame(left / "clip_0.h5", 4)
    os.truncate(left / "clip_1.h5", (left / "clip_1.h5").stat().st_size // 2)
    (left / "clip_2.h5").write_bytes(b"not HDF5\n" * 1000)
    (left / "clip_3.h5").write_bytes(b"")
    (left / "clip_4.h5").unlink()
    (left / "clip_5.h5").rename(left / "swap")
    (left / "clip_6.h5").rename(left / "clip_5.h5")
    (left / "swap").rename(left / "clip_6.h5")
    os.utime(data / "right" / "clip_0" / "2.png", ns=(1, 2**62))
    (data / "right" / "clip_7.mp4").touch()
    with h5py.File(right / "clip_1.h5", "r+") as file:
        file.attrs["contract"] = "f" * 64
    damage_frame(right / "clip_2.h5", 0, "timestamp_sec")
    damage_frame(right / "clip_3.h5", 0, "frame_index")
    shutil.copy(right / "clip_4.h5", clips / "stranger.h5")
    (right / ".clip_5.h5.tmp").write_bytes(b"an extraction at work")
    (right / "._clip_5.h5").write_bytes(b"macOS")
    (clips / "@eaDir").mkdir()
    (clips / "@eaDir" / "right.h5").write_bytes(b"Synology")

    expected = {
        "left/clip_0": ("damaged", "left/clip_0.h5: "),
        "left/clip_1": ("damaged", "left/clip_1.h5: "),
        "left/clip_2": ("damaged", "left/clip_2.h5: "),
        "left/clip_3": ("damaged", "left/clip_3.h5: "),
        "left/clip_4": ("missing", "left/clip_4.h5: no such file"),
        "left/clip_5": ("foreign", "clip_id is left/clip_6, not left/clip_5"),
        "left/clip_6": ("foreign", "clip_id is left/clip_5, not left/clip_6"),
        "right/clip_0": ("stale", f"{data}/right/clip_0: changed since its extraction"),
        "right/clip_1": ("foreign", "contract is ffff"),
        "right/clip_2": ("damaged", "right/clip_2.h5: "),
        "right/clip_3": ("damaged", "right/clip_3.h5: "),
        "right/clip_7": ("stale", f"{data}/right/clip_7.mp4: changed since its extraction"),
        "stranger": (
            "extra",
            "stranger.h5: no clip of the manifest. Delete it, unless a run that has this clip is ",
        ),
    }
    found, log, status = verify(cache_copy)
    assert status == 1
    assert {x: kind for x, (kind, _) in found.items()} == {x: k for x, (k, _) in expected.items()}
    for clip_id, (_, text) in expected.items():
        assert text in found[clip_id][1]
    assert "6 damaged, 0 unreadable, 1 missing, 2 stale, 3 foreign, 0 source missing" in log
    assert "--repair removes what is damaged, stale or foreign" in log
    assert (left / "clip_2.h5").exists()

    repaired, log, status = verify(cache_copy, "--repair")
    assert (repaired, status) == (found, 1)
    assert "Files removed: 11" in log and "Run the extraction (or import) again" in log
    left_over = {path.relative_to(clips).as_posix() for path in clips.rglob("*.h5")}
    hidden = {"right/._clip_5.h5", "@eaDir/right.h5"}
    assert left_over == {"stranger.h5"} | {f"right/clip_{i}.h5" for i in (4, 5, 6)} | hidden | {
        "left/clip_7.h5"
    }
    done = run_program("extract_features", f"--data={data}", f"--cache_dir={cache_copy}")
    assert "12 clips done, 4 skipped (already there), 0 failed" in done.stderr
    assert next(iter(verify(cache_copy)[0].values()))[0] == "extra" and verify(cache_copy)[2] == 0
    assert_same_features(cache_copy, cache_dir)


def test_what_has_lost_its_source_is_told_and_kept(cache_copy, data):
    shutil.rmtree(data / "left" / "clip_0")
    (data / "left" / "clip_7.mp4").unlink()
    found, log, status = verify(cache_copy, "--repair")
    assert {x: kind for x, (kind, _) in found.items()} == {
        "left/clip_0": "source missing",
        "left/clip_7": "source missing",
    }
    assert status == 0 and "0 missing, 0 stale, 0 foreign, 2 source missing" in log
    assert "left/clip_7.mp4: expected a folder of images or a video file" in found["left/clip_7"][1]
    # Nobody could make it anew, and most of its frames are whole.
    path = cache_copy / "clips" / "left" / "clip_0.h5"
    damage_frame(path, 4)
    found, log, status = verify(cache_copy, "--repair")
    assert (found["left/clip_0"][0], status) == ("damaged", 1)
    assert "Files removed: 0" in log and "Run the extraction" not in log and path.exists()
    assert "--repair" not in verify(cache_copy)[1]


def test_why_a_source_that_is_there_is_none_is_told(cache_copy, data):
    for i in range(2):
        shutil.copy(data / "left" / "clip_0" / "0.png", data / "left" / "clip_0" / f"flow_{i}.png")
    found, _, status = verify(cache_copy)
    kind, reason = found["left/clip_0"]
    assert (kind, status) == ("source missing", 0)
    assert "left/clip_0: expected the frames of one sequence, received 2 with 2 numb" in reason


def test_what_is_missing_is_extracted_again_not_repaired(cache_copy):
    (cache_copy / "clips" / "left" / "clip_0.h5").unlink()
    found, log, status = verify(cache_copy)
    assert ({x: kind for x, (kind, _) in found.items()}, status) == ({"left/clip_0": "missing"}, 1)
    assert "Run the extraction (or import) again: it makes what" in log and "--repair" not in log


def test_an_imported_cache(cache_dir, tmp_path):
    whole = read_cache(cache_dir)
    features = tmp_path / "features"
    for clip in read_manifest(whole.manifest_path):
        path = features / f"{clip.clip_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, whole.read_clip(clip.clip_id).feature_maps)
    make = (
        "extract_features.import_features",
        f"--data={whole.manifest_path}",
        f"--features={features}",
        f"--cache_dir={tmp_path}/cache",
    )
    run_program(*make)
    assert verify(tmp_path / "cache")[::2] == ({}, 0)
    original = read_cache(tmp_path / "cache").read_clip("left/clip_0")
    path = tmp_path / "cache" / "clips" / "left" / "clip_0.h5"
    damage_frame(path, 4)
    with open(features / "left" / "clip_1.npy", "ab") as file:
        file.write(b"0")
    (features / "left" / "clip_2.npy").unlink()
    found, _, status = verify(tmp_path / "cache", "--repair")
    assert status == 1
    assert {x: kind for x, (kind, _) in found.items()} == {
        "left/clip_0": "damaged",
        "left/clip_1": "stale",
        "left/clip_2": "source missing",
    }
    run_program(*make, check=False)
    mended = read_cache(tmp_path / "cache").read_clip("left/clip_0")
    for found, expected in zip(mended, original, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_repair_waits_for_nobody(cache_dir, tmp_path):
    copy = shutil.copytree(cache_dir, tmp_path / "cache")
    with lock_cache(copy):
        _, log, status = verify(copy, "--repair")
        assert status == 1
        assert f"error: {copy}: another program is writing to this cache." in log
        assert verify(copy)[2] == 0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("classes.txt", "", "expected a class name a line. Received: an empty file. Copy it anew."),
        ("classes.txt", "left\nup\n", "unknown label 'right'. The classes are 'left', 'up'."),
        ("manifest.csv", "", "1: no header, as in an empty file. .* may be deleted: the same ext"),
    ],
)
def test_lists_that_training_refuses_are_told(cache_dir, cache_copy, data, name, content, told):
    (cache_copy / name).write_text(content)
    _, log, status = verify(cache_copy)
    assert status == 1 and re.search(told, log)
    # As is said, it may be deleted.
    (cache_copy / name).unlink()
    extract(data, cache_copy)
    assert (cache_copy / name).read_bytes() == (cache_dir / name).read_bytes()
    assert verify(cache_copy)[2] == 0


def test_where_there_is_no_cache_that_is_said(tmp_path):
    _, log, status = verify(tmp_path / "gone", "--repair")
    assert status == 1 and f"error: {tmp_path}/gone/cache.json: there is no cache here." in log
    assert not (tmp_path / "gone").exists()
