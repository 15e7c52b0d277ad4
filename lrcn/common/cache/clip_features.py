"""What is read of one clip's file: features, times and source, and whether it is damaged."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from lrcn.common.cache.clip_file import MissingFilterError, import_hdf5plugin
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.frame_table import FrameTable
from lrcn.common.clips.clip import SourceStat
from lrcn.common.files.atomic_file import name_file
from lrcn.common.files.unreadable import UnreadableClipError, check_is_file

_ZSTD_FILTER_ID = 32015  # as registered with the HDF Group
# The system's errors where there is no such file. Its others, of permissions, too many open files
# or a failing server, say nothing of the file, which may be whole.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
# The system's errors as h5py words them where it raises KeyError or RuntimeError, as of attributes.
_SYSTEM_ERROR = re.compile(r"\berrno = ([1-9]\d*)|can't retrieve stat info")
_RUN_AGAIN = "run extract_features (or import_features) again; it makes only what is missing"


class ForeignClipError(ValueError):
    """A clip's file is whole, and of another contract or source than it should be."""


class ClipFeatures(NamedTuple):
    """The features of one clip.

    Attributes:
        feature_maps: [T, ...] float16, of one view.
        frame_index: [T] int32, number of the frame in its clip, from 0, counting those that are
            not selected.
        timestamp_sec: [T] float64 from the first frame of the source, NaN where it has no clock.
    """

    feature_maps: np.ndarray
    frame_index: np.ndarray
    timestamp_sec: np.ndarray

    def take(self, positions: np.ndarray) -> "ClipFeatures":
        """Returns the frames at these positions, [N] int in [0, T)."""
        return ClipFeatures(*(values[positions] for values in self))


class ClipClock(NamedTuple):
    """When the frames of one clip are; see `ClipFeatures`.

    Attributes:
        frame_index: [T] int32.
        timestamp_sec: [T] float64.
    """

    frame_index: np.ndarray
    timestamp_sec: np.ndarray


@contextlib.contextmanager
def open_clip(path: Path, contract: Contract, *, contract_path: Path) -> Iterator[h5py.File]:
    """Opens a clip's file for reading.

    Args:
        path: The file.
        contract: What it must carry.
        contract_path: Where that contract stands, for the message.

    Raises:
        FileNotFoundError: If there is no such file.
        ForeignClipError: If it carries another contract.
        ValueError: If it is damaged, as is any damage met inside the block.
        UnreadableClipError: If it is a pipe, device or socket.
        OSError, MemoryError: If it cannot be read now, whole as it may be.
    """
    try:
        with name_system_error(path):
            check_is_file(path, os.stat(path).st_mode)
            file = h5py.File(path, "r")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not in the cache. To have it, {_RUN_AGAIN}.") from None
    except OSError as error:
        if not is_damage(error):
            raise
        raise ValueError(
            f"{path}: not a readable HDF5 file ({error}). Delete the file and {_RUN_AGAIN}."
        ) from error
    with file, _name_damage(path):
        if read_text(file.id, "contract", "") != contract.digest:
            raise ForeignClipError(
                f"{path}: carries another contract than {contract_path}. Delete the file and "
                f"{_RUN_AGAIN}."
            )
        yield file


@contextlib.contextmanager
def open_located(path: Path, table: FrameTable) -> Iterator[int | None]:
    """Opens a clip's file whose frames were located before.

    Yields:
        Its descriptor, or None if it is no longer that file.

    Raises:
        ValueError: At damage met inside the block.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        with _name_damage(path):
            yield descriptor if table.is_of(descriptor) else None
    finally:
        os.close(descriptor)


def read_by_hdf5(maps: h5py.Dataset, frames: np.ndarray | None, *, view: int | None) -> np.ndarray:
    """Reads frames, None for all, in any compression that HDF5 knows; see `FrameTable.read`."""
    of_view = () if view is None else (view,)
    if frames is None:
        return maps[(slice(None), *of_view)]
    # One by one: HDF5 takes some 50 ms for a list of 16 positions, and 4 ms so.
    positions, inverse = np.unique(frames, return_inverse=True)
    chosen = np.empty((len(positions), *maps.shape[1 + len(of_view) :]), maps.dtype)
    for row, position in enumerate(positions):
        chosen[row] = maps[(position, *of_view)]
    return chosen if np.array_equal(positions, frames) else chosen[inverse]


@contextlib.contextmanager
def name_system_error(path: Path) -> Iterator[None]:
    """Raises the system's errors, such as of a broken disk, as OSError with the clip's file.

    `is_damage` can then tell them from damage. All others pass through.
    """
    try:
        with name_file(path):
            yield
    except Exception as error:
        found = _SYSTEM_ERROR.search(str(error))
        if found is None or getattr(error, "errno", None) is not None:
            raise
        number = int(found[1] or errno.EIO)
        raise OSError(number, os.strerror(number), str(path)) from error


@contextlib.contextmanager
def _name_damage(path: Path) -> Iterator[None]:
    try:
        with name_system_error(path):
            yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise ValueError(f"{path}: damaged ({error}). Delete the file and {_RUN_AGAIN}.") from error


def is_damage(error: Exception) -> bool:
    """Whether what reading a clip's file raised says that the file is damaged or absent.

    A damaged header has h5py raise nearly anything: also KeyError, TypeError, UnicodeDecodeError.
    """
    if isinstance(error, (MemoryError, MissingFilterError, ForeignClipError, UnreadableClipError)):
        return False
    number = getattr(error, "errno", None)
    return number is None or number in _NO_FILE


@contextlib.contextmanager
def open_attributes(path: Path) -> Iterator[h5py.h5f.FileID]:
    """Opens a clip's file for its attributes alone, which is faster than `h5py.File`.

    Raises what h5py raises, and the system's errors as `name_system_error` does.
    """
    with name_system_error(path):
        check_is_file(path, os.stat(path).st_mode)
        file_id = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY)
        try:
            yield file_id
        finally:
            file_id.close()


def read_text(file_id: h5py.h5f.FileID, name: str, default: str | None = None) -> str:
    """Reads an attribute that is text, of a file by its `h5py.File.id`.

    Raises:
        KeyError: If it is not there and there is no default.
    """
    if default is not None and not h5py.h5a.exists(file_id, name.encode()):
        return default
    # `attrs` and dtypes that are made anew took half of a resume's time.
    attribute = h5py.h5a.open(file_id, name.encode())
    stored = attribute.get_type()
    if stored.get_class() != h5py.h5t.STRING or stored.is_variable_str():
        return h5py.File(file_id).attrs[name]  # of an older version, or damaged
    text = np.empty((), f"S{stored.get_size()}")
    attribute.read(text, mtype=stored)
    return text.item().decode()


def read_recorded_source(file_id: h5py.h5f.FileID) -> SourceStat:
    """Reads what the source was like when the clip was extracted. Raises as `read_text`."""
    return SourceStat(
        size_bytes=_read_number(file_id, b"source_size_bytes"),
        mtime_ns=_read_number(file_id, b"source_mtime_ns"),
        span=read_text(file_id, "source_span", ""),
        listing=read_text(file_id, "source_listing", ""),
    )


def _read_number(file_id: h5py.h5f.FileID, name: bytes) -> int:
    number = np.empty((), np.int64)
    h5py.h5a.open(file_id, name).read(number, mtype=h5py.h5t.NATIVE_INT64)
    return int(number)


def enable_decompression(file: h5py.File) -> None:
    """Loads what reading the file's feature maps takes beyond stock HDF5.

    Raises:
        MissingFilterError: If they are compressed with zstd and hdf5plugin is not installed.
    """
    # By `h5py.Dataset` it takes as long as to open the file.
    maps = h5py.h5d.open(file.id, b"feature_maps")
    if maps.get_create_plist().get_filter_by_id(_ZSTD_FILTER_ID) is not None:
        import_hdf5plugin(file.filename)
