"""Where the features of another tool lie, and their state."""

import dataclasses
import os
from pathlib import Path

import h5py

from lrcn.common.cache.feature_array import npy_path
from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.files.unreadable import make_missing_error
from lrcn.common.pixels.source_stat import sum_stats


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
        return npy_path(self.features, clip.clip_id) if self.features.is_dir() else self.features

    def read_stat(self, clip: Clip) -> SourceStat:
        source = self.find(clip)
        try:
            return self.opened or read_feature_stat(source)
        except OSError as error:
            raise make_missing_error(source, error, expected="features to import") from error


def read_feature_stat(source: Path) -> SourceStat:
    """Reads the state of a file of features. Raises OSError if it is not there."""
    return sum_stats([os.stat(source)])


def list_contents(features: Path) -> list[str]:
    """Lists the names at the top of a folder or an HDF5 file.

    Raises:
        ValueError: If the file's list of them is damaged.
    """
    if features.is_dir():
        return sorted(os.listdir(features), key=natural_key)
    with h5py.File(features, "r") as file:
        try:
            # What is not UTF-8 is given as bytes.
            return sorted(map(os.fsdecode, file), key=natural_key)
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{features}: expected a list of datasets, received a damaged one ({error}). Write "
                "the file again."
            ) from error
