"""The features of another tool: where they lie, read as they are, and whether they can be taken."""

import contextlib
import dataclasses
import functools
import math
import os
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.clip import Clip, SourceStat
from lrcn.common.contract import Contract
from lrcn.common.natural_sort import natural_key
from lrcn.common.source_stat import sum_stats
from lrcn.common.unreadable import UnreadableClipError, check_is_file


@dataclasses.dataclass(frozen=True)
class FeatureSources:
    """The file or folder of another tool's features as `ClipSources`.

    Attributes:
        features: HDF5 file, or folder of `.npy` files.
        opened: The state of the file before it was opened, which is what is read, also where
            another file gets its name meanwhile; None of a folder, or where none is open.
    """

    features: Path
    opened: SourceStat | None = None

    def find(self, clip: Clip) -> Path:
        return _npy_path(self.features, clip.clip_id) if self.features.is_dir() else self.features

    def read_stat(self, clip: Clip) -> SourceStat:
        try:
            return self.opened or read_feature_stat(self.find(clip))
        except OSError as error:
            raise UnreadableClipError(str(error)) from error


def read_feature_stat(source: Path) -> SourceStat:
    """Reads the state of a file of features. Raises OSError if it is not there."""
    return sum_stats([os.stat(source)])


def list_contents(features: Path) -> list[str]:
    """Lists the names at the top of a folder or an HDF5 file."""
    if features.is_dir():
        return sorted(os.listdir(features), key=natural_key)
    with h5py.File(features, "r") as file:
        return sorted(file, key=natural_key)


@contextlib.contextmanager
def open_features(features: Path) -> Iterator[Callable]:
    """Yields a function from a clip_id to its array, or HDF5 dataset, [T, ...].

    The function raises FileNotFoundError if there is none of that name, else ValueError or OSError
    if it cannot be read.

    Raises:
        OSError, ValueError: If `features` is not there, or neither HDF5 nor a folder.
    """
    if features.exists():
        check_is_file(features, features.stat().st_mode)
    if features.is_dir():
        yield lambda clip_id: _open_npy(_npy_path(features, clip_id))
        return
    try:
        file = h5py.File(features, "r")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{features}: no such file or folder. Expected an HDF5 file with a dataset for each "
            "clip_id, or a folder of <clip_id>.npy files."
        ) from None
    except OSError as error:
        raise ValueError(
            f"{features}: expected an HDF5 file with a dataset for each clip_id, or a folder of "
            f"<clip_id>.npy files. Received: a file that is not HDF5 ({error}). Save each clip's "
            "array by numpy.save('<clip_id>.npy', array) into a folder, and name that."
        ) from error
    with file:

        def read_dataset(clip_id: str) -> h5py.Dataset:
            found = file.get(clip_id)
            if not isinstance(found, h5py.Dataset):
                raise FileNotFoundError(
                    f"{features}: expected a dataset named {clip_id!r}, found "
                    + ("none." if found is None else "a group.")
                )
            return found

        yield read_dataset


class _NpyRows:
    """The rows of an `.npy` file, read when they are wanted.

    Not mapped: the system ends a process without a word where a mapped file is cut off by whoever
    writes it anew, or lies on a disk that fails.
    """

    def __init__(self, path: Path, mapped: np.memmap):
        self.shape, self.dtype = mapped.shape, mapped.dtype
        self._path, self._offset_bytes = path, mapped.offset
        self._has_rows = mapped.flags.c_contiguous  # each in one piece

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        if not self._has_rows:
            return self._whole[rows]
        start, stop, _ = rows.indices(len(self))
        found = np.empty((stop - start, *self.shape[1:]), self.dtype)
        content = found.reshape(-1).view(np.uint8)
        with open(self._path, "rb") as file:
            file.seek(self._offset_bytes + start * math.prod(self.shape[1:]) * self.dtype.itemsize)
            num_bytes = file.readinto(content)
        if num_bytes < content.size:
            raise OSError(f"{self._path}: ends in row {start} to {stop - 1}")
        return found

    @functools.cached_property
    def _whole(self) -> np.ndarray:
        return np.load(self._path, allow_pickle=False)


def _open_npy(path: Path) -> _NpyRows:
    check_is_file(path, path.stat().st_mode)
    try:
        # Unlike np.load, it takes nothing but .npy; neither loads a pickle.
        array = np.lib.format.open_memmap(path, mode="r")
    # Its header is a line of Python to NumPy, which tells of a damaged one as Python does.
    except (ValueError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(
            f"{path}: expected an array of numbers, as numpy.save writes it ({error}). Write it "
            "again."
        ) from error
    num_left_bytes = path.stat().st_size - array.offset - array.nbytes
    if num_left_bytes:
        raise ValueError(
            f"{path}: expected one array, received {num_left_bytes} bytes behind it, as where "
            "several were saved into one file. Save them as one (numpy.concatenate)."
        )
    return _NpyRows(path, array)


def _npy_path(folder: Path, clip_id: str) -> Path:
    return folder / f"{clip_id}.npy"


def read_rows(array, rows: slice, clip: Clip) -> np.ndarray:
    """Reads rows of a clip's array. Raises ValueError if they are damaged."""
    try:
        return np.asarray(array[rows])
    except OSError as error:  # of this clip alone, unlike one of the cache
        raise ValueError(f"{clip.clip_id}: damaged ({error}). Compute it again.") from error


def check_array(array, clip: Clip) -> None:
    """Checks that these are numbers for frames. Raises ValueError if not."""
    # An empty dataset of HDF5 has no shape at all.
    shape = array.shape or ()
    is_number = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
    if len(shape) < 2 or 0 in shape or not is_number:
        raise ValueError(
            f"{clip.clip_id}: expected numbers of shape [T, ...], at least one for each of at "
            f"least one frame. Received: shape {list(shape)}, dtype {array.dtype}"
            + (", as which numpy saves bfloat16" if array.dtype == np.dtype("V2") else "")
            + ". Save them so, as float32"
            + (": one vector for a whole clip as array[None]." if len(shape) == 1 else ".")
        )


def check_shape(array, clip: Clip, contract: Contract) -> None:
    """Checks the array as above, and that it is of the contract. Raises ValueError if not."""
    check_array(array, clip)
    if array.shape[1:] != contract.feature_shape:
        expected = ", ".join(map(str, contract.feature_shape))
        raise ValueError(
            f"{clip.clip_id}: expected shape [T, {expected}], as most clips have. Received: "
            f"{list(array.shape)}."
        )
