"""Frames that are read past HDF5 are those that it reads, and never those of another file."""

import dataclasses
import errno
import os
import threading

import h5py
import numpy as np
import pytest
from refusals import no_more_open_files, refusal
from small_cache import SMALL, SOURCE, damage_frame, make_maps, write_clip

from lrcn.common.cache.open_cache import create_cache


def write_maps(cache, clip_id, maps, *, compression="gzip"):
    writer = cache.open_writer(clip_id, compression=compression)
    numbers = list(range(len(maps)))
    writer.append(maps, frame_index=numbers, timestamp_sec=[0.0] * len(maps))
    writer.commit(SOURCE)


# What zstd compresses is read by HDF5 itself.
@pytest.mark.parametrize(
    ("views", "feature_shape", "compression", "error"),
    [
        ("one", (7, 7, 16), "gzip", "index {} is out of bounds"),
        ("one", (40,), "gzip", "index {} is out of bounds"),
        ("flip", (3, 3, 4), "gzip", "index {} is out of bounds"),
        ("flip", (3, 3, 4), "zstd", "Index ({}) out of range"),
    ],
)
@pytest.mark.parametrize("num_frames", [1, 2, 700])
def test_what_is_read_is_what_hdf5_reads(
    tmp_path, views, feature_shape, compression, error, num_frames
):
    contract = dataclasses.replace(SMALL, views=views, feature_shape=feature_shape)
    cache = create_cache(tmp_path / "cache", contract=contract, data_root=tmp_path)
    rng = np.random.default_rng(0)
    shape = (num_frames, *contract.frame_shape)
    # Half are zeros, half are noise, which takes more bytes compressed than as it is.
    maps = (rng.random(shape) * (rng.random(shape) < 0.5)).astype(np.float16)
    write_maps(cache, "a", maps, compression=compression)
    with h5py.File(cache.clip_path("a")) as file:
        whole = file["feature_maps"][:]
    some = np.array([num_frames - 1, 0, num_frames // 2, 0])
    for view in range(contract.num_views):
        expected = whole if contract.num_views == 1 else whole[:, view]
        for _ in range(2):  # the second time, where the frames lie is known
            np.testing.assert_array_equal(cache.read_maps("a", view=view), expected)
            found = cache.read_maps("a", frames=some, view=view)
            np.testing.assert_array_equal(found, expected[some])
            assert found.dtype == np.float16
            out = np.full_like(found, -1)
            assert cache.read_maps("a", frames=some, view=view, out=out) is out
            np.testing.assert_array_equal(out, found)
    with refusal(f"{cache.clip_path('a')}: damaged ({error.format(num_frames)}"):
        cache.read_maps("a", frames=np.array([num_frames]))


def test_a_frame_that_is_not_there_is_no_frame_of_zeros(cache):
    write_clip(cache, "a")
    with h5py.File(cache.clip_path("a"), "r+") as file:
        file["feature_maps"].resize(11, axis=0)
    for frames in (None, np.array([0])):
        with refusal(f"{cache.clip_path('a')}: damaged (frame 10 is not there)"):
            cache.read_maps("a", frames=frames)


def test_a_frame_that_is_not_compressed(cache):
    maps = write_clip(cache, "a")
    with h5py.File(cache.clip_path("a"), "r+") as file:
        frame = file["feature_maps"].id
        frame.write_direct_chunk((3, 0, 0), (-maps[3]).tobytes(), filter_mask=0b11)
    maps[3] *= -1
    out = np.zeros_like(maps)
    for _ in range(2):
        np.testing.assert_array_equal(cache.read_maps("a"), maps)
        assert cache.read_maps("a", out=out) is out
        np.testing.assert_array_equal(out, maps)


@pytest.mark.parametrize(
    "storage",
    [
        {"shuffle": True},
        {"fletcher32": False},
        {"chunks": (2, 2, 3)},
        {"dtype": ">f2"},
    ],
    ids=str,
)
def test_what_another_tool_stored_in_another_way(cache, storage):
    maps = write_clip(cache, "a")
    written = {"dtype": "f2", "chunks": (1, 2, 3), "compression": "gzip", "fletcher32": True}
    with h5py.File(cache.clip_path("a"), "r+") as file:
        del file["feature_maps"]
        file.create_dataset("feature_maps", data=maps, **{**written, **storage})
    for _ in range(2):
        np.testing.assert_array_equal(cache.read_maps("a"), maps)
        np.testing.assert_array_equal(cache.read_maps("a", frames=np.array([3, 1])), maps[[3, 1]])


def test_damage_after_the_first_read_is_noticed(cache):
    maps = write_clip(cache, "a")
    cache.read_maps("a")
    path = cache.clip_path("a")
    stat = path.stat()
    damage_frame(path, 6)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as where a disk decays
    for frames in (None, np.array([6])):
        with refusal(f"{path}: damaged ("):
            cache.read_maps("a", frames=frames)
    np.testing.assert_array_equal(cache.read_maps("a", frames=np.array([5, 7])), maps[[5, 7]])


def test_a_file_that_was_replaced_is_read_anew(cache, tmp_path):
    write_clip(cache, "a")
    cache.read_maps("a")
    other = -make_maps(12)
    write_maps(cache, "a", other)
    assert cache.count_frames("a") == 12
    np.testing.assert_array_equal(cache.read_maps("a"), other)
    path = cache.clip_path("a")
    path.write_bytes(path.read_bytes()[:-100])
    with refusal(f"{path}: not a readable HDF5 file ("):
        cache.read_maps("a")
    path.unlink()
    with refusal(f"{path}: not in the cache. To have", FileNotFoundError):
        cache.read_maps("a")
    foreign = create_cache(
        tmp_path / "foreign", contract=dataclasses.replace(SMALL, cut="fc1"), data_root=tmp_path
    )
    write_clip(foreign, "a")
    foreign.clip_path("a").rename(path)
    with refusal(f"{path}: carries another contract than"):
        cache.read_maps("a")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_another_file_of_the_same_size_is_read_anew(tmp_path, is_replaced):
    contract = dataclasses.replace(SMALL, feature_shape=(64,))
    cache = create_cache(tmp_path / "cache", contract=contract, data_root=tmp_path)
    # A frame of zeros takes fewer bytes, so that the other lies elsewhere.
    noise = np.random.default_rng(0).standard_normal(64)
    maps = np.stack([np.zeros(64), noise]).astype(np.float16)
    write_maps(cache, "a", maps)
    write_maps(cache, "b", maps[::-1])
    cache.read_maps("a")
    path, other = cache.clip_path("a"), cache.clip_path("b")
    assert path.stat().st_size == other.stat().st_size
    if is_replaced:
        os.utime(other, ns=(0, path.stat().st_mtime_ns))
        other.rename(path)
    else:
        mtime_ns = path.stat().st_mtime_ns
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(0, mtime_ns + 1))
    np.testing.assert_array_equal(cache.read_maps("a"), maps[::-1])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux does")
def test_a_file_is_closed_again(cache):
    write_clip(cache, "a")
    cache.read_maps("a")  # by HDF5
    num_open = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        cache.read_maps("a")
    assert len(os.listdir("/proc/self/fd")) == num_open


def test_a_whole_file_that_cannot_be_read_now_is_not_taken_for_damaged(cache):
    maps = write_clip(cache, "a")
    cache.read_maps("a")
    with refusal("Too many open files", OSError), no_more_open_files():
        cache.read_maps("a")
    np.testing.assert_array_equal(cache.read_maps("a"), maps)


def test_of_a_disk_that_fails_amid_a_frame_the_error_is_told(cache, monkeypatch):
    """The system gives the bytes before at first, and they are not taken for a damaged frame."""
    maps = write_clip(cache, "a")
    cache.read_maps("a")

    def read_before_failure(descriptor, size, offset, pread=os.pread):
        if size > 10:
            return pread(descriptor, size - 10, offset)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", read_before_failure)
        with refusal(f"[Errno 5] Input/output error: '{cache.clip_path('a')}'", OSError):
            cache.read_maps("a")
    np.testing.assert_array_equal(cache.read_maps("a"), maps)


def test_threads_read_at_once(cache):
    clip_ids = [f"clip_{i}" for i in range(8)]
    maps = write_clip(cache, clip_ids[0], num_frames=100)
    for clip_id in clip_ids[1:]:
        write_clip(cache, clip_id, num_frames=100)
    wrong = []

    def read():
        for frames in (None, np.arange(0, 100, 7), np.array([99, 0])):
            for clip_id in clip_ids:
                found = cache.read_maps(clip_id, frames=frames)
                if not np.array_equal(found, maps if frames is None else maps[frames]):
                    wrong.append(clip_id)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
