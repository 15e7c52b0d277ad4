"""A frame as a cache stores it: a chunk of HDF5, compressed and decompressed without HDF5.

HDF5 does both under one lock of the process, with zlib. libdeflate is faster and compresses better,
and threads do it side by side (`benchmarks.cache_size` has sizes and rates). Any HDF5 tool reads
what is written here, and what HDF5 wrote is read.
"""

import functools
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import deflate
import numpy as np

from lrcn.common.programs.machine import count_cores

COMPRESSIONS = ("gzip", "zstd")
# At this level libdeflate takes as long as zlib at level 4, for chunks that are 3 % smaller.
GZIP_LEVEL = 6
PackedFrame = list[bytes]  # its views, one after the other
_CHECKSUM_BYTES = 4
_PACKED_AT_ONCE = 8
# So few that their weighted sum, at most 65535 times half their square, is far from 2^63.
_WORDS_AT_ONCE = 1 << 16
_WEIGHTS = np.stack([np.ones(_WORDS_AT_ONCE, np.int64), np.arange(_WORDS_AT_ONCE, 0, -1)])


def pack_maps(
    feature_maps: np.ndarray, feature_shape: tuple[int, ...], *, compression: str
) -> list[PackedFrame] | None:
    """Compresses frames by all cores, for `ClipWriter.append`.

    Args:
        feature_maps: [N, ...] float16, one or several views of each frame.
        feature_shape: The shape of a view.
        compression: One of `COMPRESSIONS`.

    Returns:
        N frames, or None where HDF5 compresses.
    """
    if compression != "gzip":
        return None
    num_views = math.prod(feature_maps.shape[1 : -len(feature_shape)])
    views = feature_maps.reshape(len(feature_maps), num_views, *feature_shape)
    # Several in one turn of a thread, which has to wait for Python's lock again and again.
    groups = [views[i : i + _PACKED_AT_ONCE] for i in range(0, len(views), _PACKED_AT_ONCE)]
    packed = _get_packers().map(
        lambda group: [[pack_frame(view) for view in frame] for frame in group], groups
    )
    return list(itertools.chain.from_iterable(packed))


def pack_frame(maps: np.ndarray) -> bytes:
    """Compresses one view of one frame, [...] float16, as HDF5's filters gzip and Fletcher32 do."""
    stream = deflate.zlib_compress(np.ascontiguousarray(maps, np.float16), GZIP_LEVEL)
    return stream + compute_fletcher32(stream)


def unpack_frame(chunk: bytes, out: memoryview) -> None:
    """Decompresses what `pack_frame`, or HDF5 with the same filters, made of one view of a frame.

    The stream's own checksum is looked at, Fletcher32 is not.

    Args:
        chunk: As it lies in the file.
        out: The frame's bytes, which it is written to.

    Raises:
        ValueError, deflate.DeflateError: If it is damaged.
    """
    # NumPy would give up Python's lock for this copy, and wait for it anew after each frame.
    out[:] = deflate.zlib_decompress(memoryview(chunk)[:-_CHECKSUM_BYTES], out.nbytes)


def compute_fletcher32(content: bytes) -> bytes:
    """Computes the 4 bytes that HDF5's filter Fletcher32 adds (H5_checksum_fletcher32)."""
    # Over 16-bit words, high byte first, the last one padded with zero. The sums are folded so that
    # a multiple of 65535 becomes 65535, not 0.
    words = np.frombuffer(content + b"\0" * (len(content) % 2), ">u2")
    total = weighted = 0
    for start in range(0, len(words), _WORDS_AT_ONCE):
        block = words[start : start + _WORDS_AT_ONCE]
        # Both sums in one call, as after each a thread waits for Python's lock.
        block_total, block_weighted = np.einsum("ij,j", _WEIGHTS[:, -len(block) :], block).tolist()
        # What came before counts once more for each word that follows.
        weighted += len(block) * total + block_weighted
        total += block_total
    low, high = ((x - 1) % 0xFFFF + 1 if x else 0 for x in (total, weighted))
    return (high << 16 | low).to_bytes(4, "little")


@functools.cache
def _get_packers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count_cores(), thread_name_prefix="pack")
