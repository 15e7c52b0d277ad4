"""What is read of one clip's file: its features, and when its frames are."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from lrcn.common.clip_file import enable_decompression, is_damage, read_text
from lrcn.common.contract import Contract


class ClipFeatures(NamedTuple):
    """The features of one clip.

    Attributes:
        feature_maps: [T, ...] float16, of one view.
        frame_index: [T] int32, number of the frame in its clip, from 0, counting those that are
            not selected.
        timestamp_sec: [T] float64 from the start of the source, NaN where it has no clock.
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
        ValueError: If it is damaged, as is any damage met inside the block, or carries another
            contract.
        MissingFilterError: If reading it needs a package that is not installed.
        OSError, MemoryError: If it cannot be read now, whole as it may be.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: not in the cache. Run extract_features again; it does only what is missing."
        ) from None
    except OSError as error:
        if not is_damage(error):
            raise
        raise ValueError(
            f"{path}: not a readable HDF5 file ({error}). Delete it and run extract_features "
            "again; it rebuilds what is missing."
        ) from error
    with file:
        try:
            is_of_contract = read_text(file, "contract", "") == contract.digest
            if is_of_contract:
                enable_decompression(file)
                yield file
        except Exception as error:
            if not is_damage(error):
                raise
            raise ValueError(
                f"{path}: damaged ({error}). Delete the file and run extract_features again "
                "(import_features for imported features); it rebuilds what is missing."
            ) from error
    if not is_of_contract:
        raise ValueError(
            f"{path}: carries another contract than {contract_path}. Delete the file and run "
            "extract_features again."
        )


def read_features(
    file: h5py.File, contract: Contract, *, frames: np.ndarray | None, view: int
) -> ClipFeatures:
    """Reads one view of an open clip, see `FeatureCache.read_clip`."""
    maps, *others = [file[name] for name in ClipFeatures._fields]
    of_view = () if contract.num_views == 1 else (view,)
    if frames is None:
        return ClipFeatures(maps[(slice(None), *of_view)], *(x[:] for x in others))
    # One by one: HDF5 takes some 50 ms for a list of 16 positions, and 4 ms so.
    positions, inverse = np.unique(frames, return_inverse=True)
    chosen = np.empty((len(positions), *contract.feature_shape), maps.dtype)
    for row, position in enumerate(positions):
        chosen[row] = maps[(position, *of_view)]
    if not np.array_equal(positions, frames):
        chosen = chosen[inverse]
    return ClipFeatures(chosen, *(x[:][frames] for x in others))
