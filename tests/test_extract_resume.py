"""An extraction that was stopped, killed or is run again: what is done is not done twice."""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import SMALL_BACKBONE, run_and_list_imports, run_program, start_program
from small_cache import list_files
from small_extraction import (
    NUM_CLIPS,
    SMALL_SETTINGS,
    assert_same_features,
    extract,
    read_all,
    snapshot_clips,
)

from lrcn.common.clips.manifest import read_manifest, write_manifest


@pytest.mark.parametrize("flags", [SMALL_BACKBONE, ()], ids=["same_flags", "no_flags"])
def test_running_again_redoes_nothing_and_imports_no_tensorflow(clips_dir, cache_copy, flags):
    before = snapshot_clips(cache_copy)
    flags = (f"--data={clips_dir}", f"--cache_dir={cache_copy}", *flags)
    done, imported = run_and_list_imports("extract_features", *flags)
    assert done.stderr.endswith(" 0 clips done, 16 skipped (already there), 0 failed\n")
    assert snapshot_clips(cache_copy) == before
    assert "numpy" in imported and not {"tensorflow", "keras"} & imported
    assert done.stdout == ""


def test_a_finished_cache_may_be_read_only(data, cache_dir, make_small_disk):
    cache = shutil.copytree(cache_dir, make_small_disk(8192) / "cache")
    with h5py.File(cache / "clips" / "left" / "clip_7.h5", "a") as file:
        file.attrs["broken_off"] = "kept 12 frames: ..."
    subprocess.run(["mount", "-o", "remount,ro", cache.parent], check=True)
    # Others see the clips in another place than who made it did.
    summary = extract(data, cache)
    assert (summary.skipped, summary.result.clips_done) == (NUM_CLIPS, 0)
    assert [(x.clip_id, reason) for x, reason in summary.result.kept] == [
        ("left/clip_7", "kept 12 frames: ...")
    ]
    larger = dataclasses.replace(SMALL_SETTINGS, image_size=64)
    with pytest.raises(ValueError, match="made with image_size_px=32"):
        extract(data, cache, larger)
    # Else it has to be written, for other splits too.
    with pytest.raises(OSError, match="Read-only file system"):
        extract(data, cache, seed=7)
    # And for the failure of a clip whose source is away.
    away = (data / "left" / "clip_0").rename(data.parent / "away")
    with pytest.raises(OSError, match="Read-only file system"):
        extract(cache / "manifest.csv", cache, data_root=data)
    away.rename(data / "left" / "clip_0")
    (data / "left" / "clip_0" / "0.png").unlink()
    with pytest.raises(OSError, match="Read-only file system"):
        extract(data, cache)


def test_a_cache_that_is_finished_but_for_what_cannot_be_read_may_be_read_only(
    data, cache_dir, make_small_disk
):
    cache = shutil.copytree(cache_dir, make_small_disk(8192) / "cache")
    (data / "left" / "clip_0" / "0.png").write_bytes(b"")
    shutil.rmtree(data / "right" / "clip_3")
    (data / "right" / "clip_3").mkdir()  # without a frame
    extract(data, cache, skip_unreadable=True)
    subprocess.run(["mount", "-o", "remount,ro", cache.parent], check=True)
    summary = extract(data, cache)
    assert (summary.skipped, summary.skip_unreadable) == (NUM_CLIPS - 2, True)
    failures = {clip.clip_id: reason for clip, reason in summary.result.failures}
    assert sorted(failures) == ["left/clip_0", "right/clip_3"]
    assert "expected a whole image" in failures["left/clip_0"]
    # One that is not known to fail has to be tried.
    (data / "left" / "clip_1" / "0.png").write_bytes(b"")
    with pytest.raises(OSError, match="Read-only file system"):
        extract(data, cache)


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


def test_a_clip_of_the_longest_name_is_taken_up_again(data, cache_copy):
    (data / "left" / "clip_0").rename(data / "left" / ("x" * 247))
    for num_skipped in (NUM_CLIPS - 1, NUM_CLIPS):
        assert extract(data, cache_copy).skipped == num_skipped


def test_what_becomes_other_in_the_list_of_clips_is_said(data, cache_copy, caplog):
    listed = cache_copy / "manifest.csv"
    extract(data, cache_copy)
    assert not caplog.messages
    # As of a disk of which a part is not mounted, and of labels corrected in the wrong file.
    shutil.rmtree(data / "right" / "clip_2")
    clips = read_manifest(listed)
    clips[0] = dataclasses.replace(clips[0], label="right")
    clips[1] = dataclasses.replace(clips[1], split="val" if clips[1].split == "test" else "test")
    write_manifest(listed, clips)
    extract(data, cache_copy)
    after = {clip.clip_id: clip for clip in read_manifest(listed)}
    assert after["left/clip_0"].label == "left"
    moved = [x.clip_id for x in clips if x.clip_id in after and x.split != after[x.clip_id].split]
    told = [
        f"{listed}: clips that are not in --data any more: 1, such as right/clip_2",
        f"{listed}: clips that are of another label in --data: 1, such as left/clip_0",
        f"{listed}: clips that are in another split now: {len(moved)}, such as {moved[0]}",
    ]
    assert caplog.messages == told


def test_a_cache_that_was_stopped_before_its_list_was_there_goes_on(clips_dir, cache_copy, caplog):
    listed = cache_copy / "manifest.csv"
    before = listed.read_bytes()
    listed.unlink()
    assert extract(clips_dir, cache_copy).skipped == NUM_CLIPS
    assert listed.read_bytes() == before and not caplog.messages


@contextlib.contextmanager
def hold_back(path):
    """Has whoever opens the file wait, for at most 45 s: that is what a lease on it does."""
    # The kernel's word that somebody waits, which ends a process that does not heed it.
    heeded = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        pytest.skip(f"no leases on files here: {error}")
    try:
        yield
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, heeded)


def is_waited_for(path):
    """Whether somebody waits for a file that is held back."""
    inode = f":{path.stat().st_ino} "
    locks = Path("/proc/locks").read_text().splitlines()
    return any("BREAKING" in lock and inode in lock for lock in locks)


@contextlib.contextmanager
def start_and_wait_for(cache_dir, data, half_written):
    """Starts an extraction, and yields it when it has written a part of a clip."""
    flags = (f"--data={data}", f"--cache_dir={cache_dir}", *SMALL_BACKBONE)
    # The clips come in order.
    with start_program("extract_features", *flags, "--num_decode_threads=1") as extraction:
        extraction.wait_until(half_written.exists)
        yield extraction


def test_stopped_then_killed_then_resumed_equals_uninterrupted(data, cache_dir, tmp_path):
    cache = tmp_path / "new"
    frame = data / "right" / "clip_6" / "7.png"
    # 113 frames come before `clip_6`, so that seven batches of 16 leave out one of `clip_5`.
    half = cache / "clips" / "right" / ".clip_5.h5.tmp"
    with contextlib.ExitStack() as held:
        held.enter_context(hold_back(frame))
        with start_and_wait_for(cache, data, half) as extraction:
            extraction.send_signal(signal.SIGINT)
            extraction.wait_until(lambda: not half.exists())  # the writer has ended
            held.close()
            assert extraction.wait() == 130
            output = extraction.read_output()
    assert "Stopped. What was finished is kept." in output
    assert "Traceback" not in output
    finished = snapshot_clips(cache)
    assert len(finished) == 13
    assert not list(cache.rglob("*.tmp"))

    # Now 10 frames of `clip_5` and 7 of `clip_6`, so that a batch ends in the latter.
    half = cache / "clips" / "right" / ".clip_6.h5.tmp"
    with hold_back(frame), start_and_wait_for(cache, data, half) as extraction:
        extraction.kill()
        assert extraction.wait() == -signal.SIGKILL
    assert half.exists()
    after_kill = snapshot_clips(cache)
    assert len(after_kill) == 14 and finished.items() <= after_kill.items()

    done = run_program("extract_features", f"--data={data}", f"--cache_dir={cache}")
    assert "2 clips done, 14 skipped (already there), 0 failed; 23 frames" in done.stderr
    assert after_kill.items() <= snapshot_clips(cache).items()
    assert_same_features(cache, cache_dir)
    assert list_files(cache) == list_files(cache_dir)


def test_a_cache_that_is_removed_while_it_is_filled_is_not_said_to_be_done(data, tmp_path):
    cache = tmp_path / "new"
    half = cache / "clips" / "right" / ".clip_5.h5.tmp"
    with contextlib.ExitStack() as held:
        held.enter_context(hold_back(data / "right" / "clip_6" / "7.png"))
        with start_and_wait_for(cache, data, half) as extraction:
            for name in (".lock", "cache.json", "manifest.csv"):
                (cache / name).unlink()  # as where clips come back behind what removes all
            held.close()
            assert extraction.wait() == 1
            output = extraction.read_output()
    assert f"{cache}: expected the cache that this program began to fill" in output
    assert "Traceback" not in output and "clips done" not in output


def test_half_a_clip_of_a_killed_run_goes_even_if_nobody_writes_it_again(clips_dir, cache_copy):
    half = cache_copy / "clips" / "left" / ".gone.h5.tmp"
    half.write_bytes(b"half")
    run_program("extract_features", f"--data={clips_dir}", f"--cache_dir={cache_copy}")
    assert not half.exists()
