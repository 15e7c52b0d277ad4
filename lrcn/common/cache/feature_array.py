"""A clip's features as another tool wrote them: opened, checked, and made what a cache holds."""

import collections
import contextlib
import functools
import math
import os
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.cache.clip_features import name_system_error
from lrcn.common.cache.clip_file import STORAGE_DTYPE, are_finite
from lrcn.common.cache.contract import Contract
from lrcn.common.files.unreadable import (
    check_is_file,
    choose_remedy,
    make_missing_error,
    raise_if_machine_lacks,
)

_ROWS_AT_ONCE = 256
# float16 has 11 bits for a value from here on, and fewer the smaller it is.
SMALLEST_NORMAL = float(np.finfo(STORAGE_DTYPE).smallest_normal)
SCALE = "Scale the features of all clips by one number, such as 1 / the largest of them."


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
        yield lambda clip_id: _open_npy(npy_path(features, clip_id))
        return
    try:
        file = h5py.File(features, "r")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{features}: no such file or folder. Expected an HDF5 file with a dataset for each "
            "clip_id, or a folder of <clip_id>.npy files."
        ) from None
    except BlockingIOError as error:
        raise ValueError(
            f"{features}: expected a file that nobody writes to. Received: one that another "
            "program has open for writing, such as a notebook. Close it there (file.close()), and "
            "run the same command again."
        ) from error
    except OSError as error:
        if error.errno is not None:  # as of permissions: it may well be HDF5
            raise OSError(error.errno, os.strerror(error.errno), str(features)) from error
        raise ValueError(
            f"{features}: expected an HDF5 file with a dataset for each clip_id, or a folder of "
            f"<clip_id>.npy files. Received: a file that is not HDF5 ({error}). Save each clip's "
            "array by numpy.save('<clip_id>.npy', array) into a folder, and name that."
        ) from error
    with file:

        def read_dataset(clip_id: str) -> h5py.Dataset:
            try:
                with name_system_error(features):
                    found = file[os.fsencode(clip_id)]  # h5py takes no name that is not UTF-8
            except KeyError:
                found = None
            except OSError as error:
                raise _make_read_error(error, f"{features}: dataset {clip_id!r}") from error
            except RuntimeError as error:  # as of a link around to itself
                raise ValueError(
                    f"{features}: expected a dataset named {clip_id!r}, received: {error}. Write "
                    "it again."
                ) from error
            if not isinstance(found, h5py.Dataset):
                raise FileNotFoundError(
                    f"{features}: expected a dataset named {clip_id!r}, found "
                    + ("none." if found is None else "a group.")
                )
            _check_filters(found, f"{features}: dataset {clip_id!r}")
            return found

        yield read_dataset


def _check_filters(dataset: h5py.Dataset, name: str) -> None:
    """Checks that what it is compressed with is here, without which it seems damaged."""
    stored = dataset.id.get_create_plist()
    for i in range(stored.get_nfilters()):
        number, _, _, title = stored.get_filter(i)
        if not h5py.h5z.filter_avail(number):
            raise ValueError(
                f"{name}: expected a compression that HDF5 has here, received filter {number} "
                f"({title.decode() or 'of no name'}). Write it with gzip or none, or install "
                "hdf5plugin and set HDF5_PLUGIN_PATH to what `python -c 'import hdf5plugin; "
                "print(hdf5plugin.PLUGIN_PATH)'` prints."
            )


class _NpyRows:
    """The rows of an `.npy` file, read when they are wanted.

    Not memory-mapped: the system kills a process without a word where a mapped file is cut off by
    whoever writes it anew, or where its disk fails.
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
    except (IsADirectoryError, PermissionError) as error:
        raise make_missing_error(path, error, expected="an .npy file") from error
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


def npy_path(folder: Path, clip_id: str) -> Path:
    """Where a clip's array lies in a folder of `.npy` files."""
    return folder / f"{clip_id}.npy"


def check_array(array, name: str) -> None:
    """Checks that these are numbers for frames, and written. Raises ValueError if not."""
    # An empty dataset of HDF5 has no shape at all.
    shape = array.shape or ()
    try:
        dtype = array.dtype
    except TypeError:  # one of HDF5 that NumPy does not have
        dtype = np.dtype(object)
    is_number = np.issubdtype(dtype, np.floating) or np.issubdtype(dtype, np.integer)
    if len(shape) < 2 or 0 in shape or not is_number:
        raise ValueError(
            f"{name}: expected numbers of shape [T, ...], at least one for each of at "
            f"least one frame. Received: shape {list(shape)}, dtype {dtype}"
            + (", as which numpy saves bfloat16" if dtype == np.dtype("V2") else "")
            + ". Save them so, as float32"
            + (": one vector for a whole clip as array[None]." if len(shape) == 1 else ".")
        )
    # Of one that was made and never written, the shape may be any, and HDF5 reads zeros, for hours
    # where there are a billion rows.
    is_stored = isinstance(array, h5py.Dataset) and not array.is_virtual
    if is_stored and not _is_written(array, name):
        raise ValueError(
            f"{name}: expected features. Received: a dataset of shape {list(shape)} that nothing "
            "was written to, or less than a hundredth of it. Compute it again, or cut it to the "
            "frames that it has."
        )


def _is_written(dataset: h5py.Dataset, name: str) -> bool:
    if dataset.chunks is None:
        return dataset.id.get_storage_size() > 0
    counts = (-(-n // of_chunk) for n, of_chunk in zip(dataset.shape, dataset.chunks, strict=True))
    try:
        with name_system_error(dataset.file.filename):
            num_stored = dataset.id.get_num_chunks()
    except (RuntimeError, OSError) as error:
        raise _make_read_error(error, name) from error
    return num_stored >= math.prod(counts) / 100


def check_shape(array, name: str, contract: Contract, *, others: str) -> None:
    """Checks the array as above, and that it is of the contract, as `others` are. Raises ValueError
    if not.
    """
    check_array(array, name)
    if array.shape[1:] != contract.frame_shape:
        expected = ", ".join(map(str, contract.frame_shape))
        raise ValueError(
            f"{name}: expected shape [T, {expected}], as {others} have. Received: "
            f"{list(array.shape)}. Compute it as those were."
        )


def iter_maps(array, name: str) -> Iterator[tuple[np.ndarray, collections.Counter]]:
    """Yields the frames of an array that was checked, some at a time.

    Yields:
        [n, ...] float16, as a cache holds them, and counts: `nonzero` values, those of them that
        are not 0 in float16 (`kept`), or are normal numbers in it (`normal`), and frames of zeros
        alone (`empty`).

    Raises:
        ValueError: If rows cannot be read, or a value is not finite in float16; at the end, if it
            has turned all values into 0.
    """
    total = collections.Counter()
    for start in range(0, len(array), _ROWS_AT_ONCE):
        rows = _read_rows(array, slice(start, start + _ROWS_AT_ONCE), name)
        with np.errstate(over="ignore"):
            maps = rows.astype(STORAGE_DTYPE)
        if not are_finite(maps):
            raise ValueError(
                f"{name}: a feature of the frames {start} to {start + len(rows) - 1} is not finite "
                "in float16 (largest number: 65504). Expected finite features: compute them again "
                "where they are NaN or infinite, or scale those of all clips by one number."
            )
        counts = collections.Counter(
            nonzero=np.count_nonzero(rows),
            kept=np.count_nonzero(maps),
            normal=np.count_nonzero(np.abs(maps) >= SMALLEST_NORMAL),
            empty=np.count_nonzero(~rows.reshape(len(rows), -1).any(axis=1)),
        )
        yield maps, counts
        total += counts
    if total["nonzero"] and not total["kept"]:
        raise ValueError(
            f"{name}: expected values that float16 can hold. Received: {total['nonzero']} that are "
            f"not 0, of which all become 0 in it. {SCALE}"
        )


def _read_rows(array, rows: slice, name: str) -> np.ndarray:
    """Reads rows of a clip's array. Raises ValueError if they cannot be read."""
    try:
        return np.asarray(array[rows])
    except OSError as error:  # of this clip alone, unlike one of the cache
        raise _make_read_error(error, name) from error


def _make_read_error(error: Exception, name: str) -> ValueError:
    raise_if_machine_lacks(error)
    # HDF5 says of the system's errors where it was in its file, too.
    number = getattr(error, "errno", None)
    reason = error if number is None else os.strerror(number)
    return ValueError(
        f"{name}: cannot be read ({reason}). {choose_remedy(error, 'Compute it again.')}"
    )
