"""A clip's file: what is written is read back exactly, whole or not at all, and only as it was."""

import dataclasses
import errno
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from commands import ROOT
from refusals import limited_files, refusal
from small_cache import SMALL, SOURCE, list_files, make_maps, write_clip

from lrcn.common.cache.clip_file import MissingFilterError, identify
from lrcn.common.cache.frame_chunk import COMPRESSIONS
from lrcn.common.cache.open_cache import create_cache, read_cache
from lrcn.common.files.unfailing_file import UnfailingFile


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_written_is_read_again(cache, compression):
    maps = write_clip(cache, compression=compression)
    features = read_cache(cache.cache_dir).read_clip("walk/clip_1")
    assert features.feature_maps.dtype == np.float16
    assert features.frame_index.dtype == np.int32
    assert features.timestamp_sec.dtype == np.float64
    np.testing.assert_array_equal(features.feature_maps, maps)
    assert features.frame_index.tolist() == list(range(10))
    assert features.timestamp_sec.tolist() == [0.04 * i for i in range(10)]
    assert cache.count_frames("walk/clip_1") == 10


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("frames", [[0], [9, 0], [3, 3, 3], [7, 1, 7, 0, 1], [], range(10)])
def test_any_frames_in_any_order(cache, frames, compression):
    maps = write_clip(cache, compression=compression)
    positions = np.array(frames, np.int64)
    features = cache.read_clip("walk/clip_1", frames=positions)
    np.testing.assert_array_equal(features.feature_maps, maps[positions])
    assert features.frame_index.tolist() == list(frames)
    assert features.timestamp_sec.tolist() == [0.04 * i for i in frames]


def test_without_hdf5plugin_zstd_is_refused_by_name(cache, monkeypatch):
    write_clip(cache, compression="zstd")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # as if it were not installed
    for act, what in (
        (lambda: cache.open_writer("new", compression="zstd"), "--compression=zstd"),
        (lambda: cache.read_clip("walk/clip_1"), str(cache.clip_path("walk/clip_1"))),
    ):
        with refusal(f"{what}: zstd needs the package hdf5plugin", MissingFilterError) as caught:
            act()
        # What only reads has no such flag, and what is in a cache stays as it is.
        assert str(caught.value).endswith("or extract into a new cache with --compression=gzip.")
    write_clip(cache, "plain")


def test_times_are_read_once_and_the_number_of_frames_is_theirs(cache):
    write_clip(cache)
    clock = cache.read_clock("walk/clip_1")
    # Labels that were read for its frames go with no other number.
    write_clip(cache, num_frames=12)
    assert cache.read_clock("walk/clip_1") is clock
    assert cache.count_frames("walk/clip_1") == len(clock.frame_index) == 10
    assert read_cache(cache.cache_dir).count_frames("walk/clip_1") == 12


def test_times_of_a_folder_stay_nan(cache):
    writer = cache.open_writer("a")
    writer.append(make_maps(2), frame_index=[0, 1], timestamp_sec=[float("nan")] * 2)
    writer.commit(SOURCE)
    assert np.isnan(cache.read_clip("a").timestamp_sec).all()


def test_the_file_is_plain_hdf5(cache):
    write_clip(cache)
    with h5py.File(cache.cache_dir / "clips" / "walk" / "clip_1.h5") as file:
        assert sorted(file) == ["feature_maps", "frame_index", "timestamp_sec"]
        maps = file["feature_maps"]
        assert (maps.shape, maps.dtype, maps.chunks) == ((10, 2, 3), np.float16, (1, 2, 3))
        assert (maps.compression, maps.shuffle, maps.fletcher32) == ("gzip", False, True)
        assert file["frame_index"].fletcher32 and file["timestamp_sec"].fletcher32
        # Text of fixed length, which needs no heap; h5py gives it as bytes.
        assert dict(file.attrs) == {
            "identity": identify(SMALL, "walk/clip_1", SOURCE).encode(),
            "contract": SMALL.digest.encode(),
            "clip_id": b"walk/clip_1",
            "source_size_bytes": 1234,
            "source_mtime_ns": 1_700_000_000_123_456_789,
            "source_span": b"",
            "source_listing": b"",
        }


def test_text_of_any_length_is_read_as_older_versions_wrote_it(cache):
    write_clip(cache)
    with h5py.File(cache.clip_path("walk/clip_1"), "a") as file:
        del file.attrs["identity"]
        for name in ("contract", "clip_id", "source_span"):
            file.attrs[name] = file.attrs[name].decode()
            assert h5py.check_string_dtype(file.attrs.get_id(name).dtype).length is None
    assert cache.is_current("walk/clip_1", SOURCE)
    assert cache.count_frames("walk/clip_1") == 10


def test_nothing_appears_before_commit_and_nothing_else_after(cache):
    writer = cache.open_writer("walk/clip_1")
    writer.append(make_maps(3), frame_index=[0, 1, 2], timestamp_sec=[0.0, 0.1, 0.2])
    assert not cache.clip_path("walk/clip_1").exists()
    assert not cache.is_current("walk/clip_1", SOURCE)
    writer.commit(SOURCE)
    assert list_files(cache.cache_dir) == ["cache.json", "clips/walk/clip_1.h5"]


def test_discard_leaves_nothing_or_what_was_there(cache):
    cache.open_writer("a").discard()
    assert list_files(cache.cache_dir) == ["cache.json"]
    maps = write_clip(cache, "a")
    writer = cache.open_writer("a")
    writer.append(make_maps(1), frame_index=[0], timestamp_sec=[0.0])
    writer.discard()
    assert list_files(cache.cache_dir) == ["cache.json", "clips/a.h5"]
    np.testing.assert_array_equal(cache.read_clip("a").feature_maps, maps)


def test_a_server_that_says_at_the_end_that_its_disk_is_full_is_told_with_the_file(
    cache, monkeypatch
):
    def refuse(descriptor):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", refuse)
    path = cache.clip_path("walk/clip_1")
    with refusal(f"[Errno {errno.EDQUOT}] Disk quota exceeded: '{path}'", OSError):
        write_clip(cache)
    assert list_files(cache.cache_dir) == ["cache.json"]


def test_a_server_that_says_so_once_more_hides_neither_file_nor_error(cache, monkeypatch):
    def close_and_refuse(file, close=UnfailingFile.close):
        was_open = not file.closed
        close(file)
        if was_open:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(UnfailingFile, "close", close_and_refuse)
    writer = cache.open_writer("walk/clip_1")
    temporary = cache.clip_path("walk/clip_1").with_name(".clip_1.h5.tmp")
    with (
        limited_files(max_bytes=100),
        refusal(f"[Errno {errno.EFBIG}] File too large: '{temporary}'", OSError),
    ):
        writer.append(make_maps(1), frame_index=[0], timestamp_sec=[0.0])
    assert list_files(cache.cache_dir) == ["cache.json"]


# What is left for the clip decides where writing fails: at a frame, or at the end.
@pytest.mark.parametrize("limit_bytes", [100, 1000, *range(1500, 2300, 200)])
def test_a_disk_that_is_full_is_an_error_and_no_crash(cache, limit_bytes):
    program = f"""
import resource, signal
from pathlib import Path
from lrcn.common.cache.open_cache import read_cache
from small_cache import write_clip
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))
try:
    write_clip(read_cache({str(cache.cache_dir)!r}))
except OSError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    temporary = cache.clip_path("walk/clip_1").with_name(".clip_1.h5.tmp")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"[Errno 27] File too large: '{temporary}'\n"
    assert list_files(cache.cache_dir) == ["cache.json"]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_an_error(cache, value):
    maps = make_maps(4)
    maps[2, 1, 1] = value
    writer = cache.open_writer("walk/clip_1")
    with refusal(
        "walk/clip_1: a feature of the frames 8 to 11 is not finite in float16 (largest number: "
        "65504). Expected finite features: of weights without NaN"
    ):
        writer.append(maps, frame_index=[8, 9, 10, 11], timestamp_sec=[0.0] * 4)


def test_the_largest_float16_is_kept(cache):
    writer = cache.open_writer("a")
    writer.append(np.full((1, 2, 3), 65504, np.float16), frame_index=[0], timestamp_sec=[0.0])
    writer.commit(SOURCE)
    assert (cache.read_clip("a").feature_maps == 65504).all()


@pytest.mark.parametrize("is_older", [False, True])
def test_current_means_this_clip_contract_and_unchanged_source(cache, is_older):
    assert not cache.is_current("a", SOURCE)
    write_clip(cache, "a")
    if is_older:
        with h5py.File(cache.clip_path("a"), "r+") as file:
            del file.attrs["identity"]
    assert cache.is_current("a", SOURCE)
    assert not cache.is_current("a", SOURCE._replace(size_bytes=1235))
    assert not cache.is_current("a", SOURCE._replace(span=":1.5"))
    assert not cache.is_current("a", SOURCE._replace(mtime_ns=SOURCE.mtime_ns + 1))
    cache.clip_path("a").rename(cache.clip_path("b"))
    assert not cache.is_current("b", SOURCE)


def test_a_clip_of_another_contract_is_not_read(cache, tmp_path):
    other = create_cache(
        tmp_path / "other", contract=dataclasses.replace(SMALL, cut="fc1"), data_root=tmp_path
    )
    write_clip(other, "a")
    cache.clip_path("a").parent.mkdir()
    other.clip_path("a").rename(cache.clip_path("a"))
    assert not cache.is_current("a", SOURCE)
    told = f"{cache.clip_path('a')}: carries another contract than {cache.cache_dir}"
    with refusal(told) as caught:
        cache.read_clip("a")
    assert "damaged" not in str(caught.value)


def test_a_missing_clip_says_what_to_do(cache):
    for call in (cache.read_clip, cache.count_frames):
        with refusal(f"{cache.clip_path('a')}: not in the cache. To have", FileNotFoundError):
            call("a")
