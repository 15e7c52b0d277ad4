"""New clips that are known by the features of another tool, as the run's clips were."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
from absl import logging

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_array import check_shape, iter_maps, open_features
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.files.unreadable import UnreadableClipError, make_missing_error
from train_head.batches.step_memory import check_new_frames


def locate_features(source: Path) -> tuple[Path, str]:
    """Returns where a clip's features are, as `open_features` takes it, and their name in it.

    Args:
        source: A `.npy` file, or an HDF5 file and behind it the path of a dataset in it.
    """
    file = next((x for x in (source, *source.parents) if x.is_file()), source)
    if file == source and source.suffix == ".npy":
        return source.parent, source.stem
    return file, source.relative_to(file).as_posix()


def iter_datasets(source: Path) -> Iterator[Path]:
    """Yields the datasets of an HDF5 file, or of a group in it, in natural order.

    Anything else is yielded as it is, and reading it will say what is wrong.
    """
    path, name = locate_features(source)
    try:
        with h5py.File(path, "r") as file:
            names = [*_iter_names(file.get(os.fsencode(name)), name, within=())]
    except (OSError, RuntimeError, KeyError):
        names = [name]
    yield from (path / name for name in names)


def _iter_names(item, name: str, *, within: tuple) -> Iterator[str]:
    if not isinstance(item, h5py.Group):
        yield name
    elif item not in within:  # a link may lead back
        # What is not UTF-8 is given as bytes.
        for key in sorted(map(os.fsdecode, item), key=natural_key):
            found = item.get(os.fsencode(key))
            yield from _iter_names(found, f"{name}/{key}", within=(*within, item))


class NewFeatures:
    """Clips' features as `Predictor` takes clips; see `locate_features` for what is a clip.

    They are checked as an import checks them.
    """

    def __init__(self, contract: Contract, *, choose: Callable[[int], set] | None):
        """Takes the run's contract, and `choose` as `NewVideos` does."""
        self._contract = contract
        self._choose = choose

    def read_batches(
        self, source: Path, on_decoded: Callable[[], None]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields of some frames [N] bool, whether they are chosen, and the features of those."""
        try:
            path, name = locate_features(Path(source))
            with open_features(path) as read_array:
                if name == ".":
                    raise ValueError(
                        f"{source}: expected a clip, as FILE.npy or as FILE.h5/DATASET. Received: "
                        "a folder or a whole HDF5 file. Name the clips in it, one by one."
                    )
                array = read_array(name)
                others = "the clips that the run was trained on"
                check_shape(array, str(source), self._contract, others=others)
                left = np.full(len(array), self._choose is None)
                if self._choose is not None:
                    left[[*self._choose(len(array))]] = True
                check_new_frames(source, int(left.sum()), self._contract)
                num_empty = 0
                for maps, counts in iter_maps(array, str(source)):
                    on_decoded()
                    num_empty += counts["empty"]
                    is_chosen, left = left[: len(maps)], left[len(maps) :]
                    yield is_chosen, maps[is_chosen]
                if num_empty == len(array):
                    logging.warning(
                        "%s: every value is 0, so the answer says nothing of the clip. Compute its "
                        "features again, where they were never written",
                        escape_control(str(source)),
                    )
        except (ValueError, OSError, RuntimeError) as error:
            if getattr(error, "errno", None) is None:
                raise UnreadableClipError(str(error)) from error
            raise make_missing_error(
                source, error, expected="features, as FILE.npy or as FILE.h5/DATASET"
            ) from error

    def extract(
        self, _source: Path, batches: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray, ClipClock]:
        """Returns features, positions and clock, and raises, as `NewVideos` does."""
        is_chosen, maps = map(np.concatenate, zip(*batches, strict=True))
        clock = ClipClock(
            np.arange(len(is_chosen), dtype=np.int32), np.full(len(is_chosen), np.nan)
        )
        shape = (self._contract.num_views, *self._contract.feature_shape)
        return maps.reshape(-1, *shape), np.flatnonzero(is_chosen), clock
