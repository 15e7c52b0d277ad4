"""A damaged clip is never taken for data, and a whole one never for damaged."""

import errno
import os
import shutil

import h5py
import numpy as np
import pytest
from refusals import fail_to_read, no_more_open_files, refusal
from small_cache import SOURCE, damage_frame, write_clip
from small_data import train
from small_extraction import extract

from extract_features.verification import iter_findings, remove_file
from lrcn.common.cache import clip_features, feature_cache
from lrcn.common.cache.clip_features import is_damage, read_text
from lrcn.common.cache.frame_chunk import COMPRESSIONS
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from train_head.scores.evaluation import evaluate_run


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", None])
def test_a_file_that_is_no_hdf5(cache, content):
    write_clip(cache, "a")
    path = cache.clip_path("a")
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert not cache.is_current("a", SOURCE)
    for call in (cache.read_clip, cache.count_frames):
        with refusal(f"{path}: not a readable HDF5 file ("):
            call("a")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_flipped_bits_in_the_features_are_noticed(cache, compression):
    maps = write_clip(cache, "a", compression=compression)
    path = cache.clip_path("a")
    damage_frame(path, 6)
    for frames in (None, np.array([6])):
        with refusal(f"{path}: damaged ("):
            cache.read_clip("a", frames=frames)
    np.testing.assert_array_equal(
        cache.read_clip("a", frames=np.array([5, 7])).feature_maps, maps[[5, 7]]
    )


def test_a_file_without_a_dataset_is_damaged(cache):
    write_clip(cache, "a")
    with h5py.File(cache.clip_path("a"), "r+") as file:
        del file["timestamp_sec"]
    with refusal(f"{cache.clip_path('a')}: damaged ("):
        cache.read_clip("a")


def test_a_pipe_in_the_place_of_a_file_is_named_and_stays(run_dir, data, cache_copy, tmp_path):
    run, cache = RunDir(shutil.copytree(run_dir, tmp_path / "run")), read_cache(cache_copy)
    name = next(x.clip_id for x in run.read_clips() if x.split == "test")
    path = cache.clip_path(name)
    path.unlink()
    os.mkfifo(path)  # opening it would wait for who writes to it
    text = f"{path}: expected a file, received a pipe, device or socket. Remove it"
    for use in (
        lambda: extract(data, cache_copy),
        lambda: evaluate_run(run, cache, split="test"),
        lambda: train(cache, tmp_path / "new"),
    ):
        with refusal(text):
            use()
    (finding,) = iter_findings(cache)
    assert (finding.kind, finding.clip_id) == ("unreadable", name)
    assert finding.reason.startswith(text)
    assert not remove_file(cache, finding)
    assert path.is_fifo()


def test_a_whole_file_that_cannot_be_read_now_is_not_taken_for_damaged(cache):
    write_clip(cache, "a")
    for call in (
        lambda: cache.read_clip("a"),
        lambda: cache.count_frames("a"),
        lambda: cache.is_current("a", SOURCE),
    ):
        with refusal("Too many open files", OSError), no_more_open_files():
            call()
    assert cache.is_current("a", SOURCE)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no disk to break")
def test_a_disk_that_fails_for_a_moment_is_no_damage(cache, monkeypatch):
    """A whole file is then neither extracted again nor said to be one to delete."""
    write_clip(cache, "a")
    for module in (clip_features, feature_cache):

        def break_disk_first(file_id, *arguments):
            fail_to_read(file_id.get_vfd_handle())
            return read_text(file_id, *arguments)

        monkeypatch.setattr(module, "read_text", break_disk_first)
    for call in (
        lambda: cache.read_clip("a"),
        lambda: cache.count_frames("a"),
        lambda: cache.digest_sources(["a"]),
        lambda: cache.is_current("a", SOURCE),
    ):
        with refusal(f"[Errno 5] Input/output error: '{cache.clip_path('a')}'", OSError):
            call()
    monkeypatch.undo()
    assert cache.is_current("a", SOURCE)


def test_memory_that_runs_out_is_no_damage(cache):
    write_clip(cache, "a")
    with refusal("no memory", MemoryError), cache._open_clip("a"):
        raise MemoryError("no memory")


def test_a_contract_that_cannot_be_decoded_is_damage(cache):
    write_clip(cache, "a")
    with h5py.File(cache.clip_path("a"), "r+") as file:
        del file.attrs["identity"]  # as in an older version, whose tables had no checksums
        file.attrs["contract"] = np.bytes_(b"\xff\xfe")
    assert not cache.is_current("a", SOURCE)
    with refusal(f"{cache.clip_path('a')}: damaged ("):
        cache.read_clip("a")


@pytest.mark.parametrize(
    ("number", "is_of_file"),
    [
        (errno.ENOENT, True),
        (errno.EISDIR, True),
        (None, True),  # as HDF5 says of a file that is none of its own
        (errno.EIO, False),
        (errno.ENOLCK, False),  # a file server without locks
        (errno.ENOTCONN, False),  # one that went away
        (errno.ETIMEDOUT, False),
        (errno.EMFILE, False),
    ],
)
def test_what_the_system_cannot_read_is_not_damaged(number, is_of_file):
    error = OSError("no HDF5 file") if number is None else OSError(number, os.strerror(number))
    assert is_damage(error) == is_of_file
