"""Tests frames that are compressed without HDF5, which HDF5 must read."""

import deflate
import h5py
import numpy as np
import pytest

from lrcn.common.cache.frame_chunk import compute_fletcher32, pack_frame, unpack_frame

RNG = np.random.default_rng(0)
SPARSE = np.where(RNG.random((7, 7, 512)) < 0.1, RNG.gamma(1.0, 20.0, (7, 7, 512)), 0)


@pytest.mark.parametrize(
    "maps",
    [
        *(np.zeros(shape, np.float16) for shape in [(1,), (4096,), (14, 14, 512)]),
        *(RNG.standard_normal(num_values).astype(np.float16) for num_values in range(1, 40)),
        SPARSE.astype(np.float16),
        SPARSE.astype(np.float16).transpose(2, 0, 1),  # not contiguous
        np.array([np.inf, np.nan, -0.0, 6e-8], np.float16),
    ],
    ids=lambda maps: f"{maps.shape}",
)
def test_hdf5_reads_what_is_packed(tmp_path, maps):
    chunk = pack_frame(maps)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset(
            "a", maps.shape, "f2", chunks=maps.shape, compression="gzip", fletcher32=True
        )
        dataset.id.write_direct_chunk((0,) * maps.ndim, chunk)
    with h5py.File(tmp_path / "a.h5") as file:
        read = file["a"][:]
    for found in (read, _unpack(chunk, maps.shape)):
        assert found.dtype == np.float16
        assert found.tobytes() == maps.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 6,
        b"\xff" * 2,  # a sum of 65535, which stays
        b"\xff" * 2000,
        b"\x80\x00\x7f\xff",  # only the first sum is a multiple of it
        b"\xff\xfe\x00\x01\x00\x01",
        b"a",
        b"\xff" * 721,  # more than the words that HDF5 adds up at once, and half a word
        b"\xff\xfe" * 25_000_000,  # whose weighted sum is more than 2^64
        *(RNG.bytes(num_bytes) for num_bytes in (3, 720, 9001, 200_000)),
    ],
    ids=len,
)
def test_the_checksum_is_the_one_that_hdf5_computes(tmp_path, content):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape = (len(content),)
        dataset = file.create_dataset("a", shape, "u1", chunks=shape, fletcher32=True)
        dataset[:] = np.frombuffer(content, np.uint8)
        file.flush()
        _, stored = dataset.id.read_direct_chunk((0,))
    assert stored == content + compute_fletcher32(content)


def test_damage_is_an_error():
    chunk = bytearray(pack_frame(SPARSE.astype(np.float16)))
    for place in range(0, len(chunk) - 4, 97):
        chunk[place] ^= 4
        with pytest.raises((ValueError, deflate.DeflateError)):
            _unpack(bytes(chunk), SPARSE.shape)
        chunk[place] ^= 4
    with pytest.raises((ValueError, deflate.DeflateError)):
        _unpack(bytes(chunk), (7, 7, 511))
    with pytest.raises((ValueError, deflate.DeflateError)):
        _unpack(bytes(chunk), (7, 7, 513))


def _unpack(chunk, shape):
    maps = np.full(shape, -1, np.float16)
    unpack_frame(chunk, memoryview(maps.reshape(-1).view(np.uint8)))
    return maps
