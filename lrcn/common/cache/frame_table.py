"""Where the frames of a clip's file lie in it, to read them without HDF5 in between.

HDF5 does all that it does under one lock of the process, and reads its own tables anew for each
clip of a batch. A frame is a chunk, so once it is known where the chunks lie, a frame takes one
read and one decompression by libdeflate, which threads do side by side. That takes a third of the
time (`python -m benchmarks.cache_size`), and for a few frames of a clip less.
"""

import math
import os
from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np

from lrcn.common.cache.frame_chunk import unpack_frame

# Those of gzip as `ClipWriter` writes it, in their order.
_FILTERS = [h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32]


class FrameTable(NamedTuple):
    """Where each view of each frame is.

    Attributes:
        version: Of the file that this is true of.
        offset_bytes: [T] or, with several views, [T, V] int64, from the start of the file.
        size_bytes: Of the same shape, int32.
        feature_shape: Shape of one view of a frame.
    """

    version: tuple[int, ...]
    offset_bytes: np.ndarray
    size_bytes: np.ndarray
    feature_shape: tuple[int, ...]

    def is_of(self, descriptor: int) -> bool:
        """Whether the open file is still the one that was looked at."""
        return self.version == _read_version(descriptor)

    def read(
        self,
        descriptor: int,
        frames: np.ndarray | None,
        *,
        view: int,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Reads a view of some frames, [N, ...] float16.

        Args:
            descriptor: Of the open file.
            frames: N positions in [0, T), in any order, repeats allowed; None reads all.
            view: In [0, V).
            out: [N, ...] float16 without gaps to read them into, in place of new memory. Left as it
                is where it has another length.

        Raises:
            ValueError, deflate.DeflateError: If a frame is damaged: a stream of gzip ends with a
                checksum of what it gives.
            IndexError: If there is no such frame.
        """
        chosen = slice(None) if frames is None else frames
        where = (chosen, view) if self.offset_bytes.ndim > 1 else chosen
        offsets, sizes = self.offset_bytes[where].tolist(), self.size_bytes[where].tolist()
        maps = out
        if maps is None or len(maps) != len(offsets):
            maps = np.empty((len(offsets), *self.feature_shape), np.float16)
        for row, offset, size in zip(_view_frames(maps), offsets, sizes, strict=True):
            unpack_frame(_read_bytes(descriptor, size, offset), row)
        return maps


def locate_frames(file: h5py.File, feature_shape: tuple[int, ...]) -> FrameTable | None:
    """Looks up where the frames of an open clip are.

    Returns:
        None where they are not compressed as `ClipWriter` does with gzip.

    Raises:
        ValueError: If a frame is not there.
    """
    # Through `h5py.Dataset` all this takes three times as long, for each clip of a training.
    maps = h5py.h5d.open(file.id, b"feature_maps")
    stored = maps.get_create_plist()
    num_axes = maps.rank - len(feature_shape)
    if (
        [stored.get_filter(i)[0] for i in range(stored.get_nfilters())] != _FILTERS
        or maps.dtype != np.float16
        or stored.get_chunk() != (*[1] * num_axes, *feature_shape)
    ):
        return None
    offset_bytes = np.zeros(maps.shape[:num_axes], np.int64)
    size_bytes = np.zeros(maps.shape[:num_axes], np.int32)
    has_unfiltered = False

    def note(chunk) -> None:
        nonlocal has_unfiltered
        place = chunk.chunk_offset[:num_axes]
        offset_bytes[place], size_bytes[place] = chunk.byte_offset, chunk.size
        has_unfiltered |= chunk.filter_mask != 0

    maps.chunk_iter(note)
    if has_unfiltered:
        return None
    if not size_bytes.all():
        raise ValueError(f"frame {np.argwhere(size_bytes == 0)[0][0]} is not there")
    version = _read_version(file.id.get_vfd_handle())
    return FrameTable(version, offset_bytes, size_bytes, tuple(feature_shape))


def _view_frames(maps: np.ndarray) -> Iterator[memoryview]:
    """Gives the bytes of each frame of [N, ...] float16, to be written to."""
    frame_bytes = math.prod(maps.shape[1:]) * maps.itemsize
    content = memoryview(maps).cast("B") if len(maps) else b""
    for start in range(0, maps.nbytes, frame_bytes):
        yield content[start : start + frame_bytes]


def _read_bytes(descriptor: int, size: int, offset: int) -> bytes:
    content = os.pread(descriptor, size, offset)
    # Where a disk fails amid them, the system returns those before, and the error at the next read.
    while len(content) < size:
        rest = os.pread(descriptor, size - len(content), offset + len(content))
        if not rest:
            break
        content += rest
    return content


def _read_version(descriptor: int) -> tuple[int, ...]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
