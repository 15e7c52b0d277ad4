"""Makes a cache from features that another tool computed."""

import collections
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

from absl import logging

from extract_features.feature_shape import find_feature_shape
from extract_features.feature_source import FeatureSources, read_feature_stat
from extract_features.filling import fill_cache
from extract_features.given_data import DataSettings, read_given_data
from extract_features.progress import ExtractionProgress
from extract_features.same_data import check_moved_data
from extract_features.summary import ExtractionResult, Summary
from extract_features.worklist import Job, Worklist
from lrcn.common.cache.clip_file import STORAGE_DTYPE
from lrcn.common.cache.contract import IMPORTED_BACKBONE, Contract
from lrcn.common.cache.failure_list import Failure
from lrcn.common.cache.feature_array import (
    SCALE,
    SMALLEST_NORMAL,
    check_shape,
    iter_maps,
    open_features,
)
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.open_cache import check_contract, find_cache
from lrcn.common.clips.clip import Clip


def import_features(data_settings: DataSettings, *, features: Path, cache_dir: Path) -> Summary:
    """Fills the cache with a copy of the features of every clip that it does not hold yet.

    Args:
        data_settings: The clips and their splits. Their paths are not opened.
        features: An HDF5 file with a dataset [T, ...] named `<clip_id>` for each clip, or a folder
            with a file `<clip_id>.npy` for each.
        cache_dir: The cache, made where there is none.

    Returns:
        What was done. Clips that failed stand in it and in the cache's `failures.csv`.

    Raises:
        ValueError: If `features` or an existing cache does not fit.
        OSError: If something is missing or cannot be written.
        RuntimeError: If another process writes to the cache.
    """
    start_sec = time.monotonic()
    data = read_given_data(data_settings, find_cache(cache_dir), paths_are_sources=False)
    opened = read_feature_stat(features) if features.is_file() else None
    # In this order, so that features that are refused, or misspelt, leave no folder behind.
    with open_features(features) as read_array:
        feature_shape = find_feature_shape(features, data.clips, read_array)
        contract = _make_contract(features, feature_shape)
        maker = _Import(FeatureSources(features, opened), read_array, contract)
        return fill_cache(data, maker, cache_dir=cache_dir, start_sec=start_sec)


@dataclasses.dataclass(frozen=True)
class _Import:
    """The features of another tool as a `FeatureMaker`."""

    sources: FeatureSources
    read_array: Callable
    contract: Contract

    def prepare(
        self, pending: list[Job], clips: list[Clip], existing: FeatureCache | None
    ) -> Contract:
        check_contract(existing, self.contract)
        if existing is not None:
            was, now = existing.contract.weights, self.sources.features
            # Of one place the changes are taken, by whatever name a link gives it.
            if os.path.realpath(was) != os.path.realpath(now):
                check_moved_data(existing, clips, self.sources, was=was, now=now)
        return self.contract

    def make_features(self, work: Worklist, cache: FeatureCache) -> ExtractionResult:
        start_sec = time.monotonic()
        result = ExtractionResult()
        counts, num_empty = collections.Counter(), {}
        with ExtractionProgress(len(work.pending)) as progress:
            for job in work.pending:
                clip_id = job.clip.clip_id
                try:
                    array = self.read_array(clip_id)
                    check_shape(array, clip_id, self.contract, others="most clips")
                except (ValueError, OSError) as error:
                    result.failures.append(Failure(job.clip, str(error)))
                else:
                    of_clip = _copy_clip(array, job, cache, result, progress)
                    counts += of_clip
                    if of_clip["empty"]:
                        num_empty[clip_id] = of_clip["empty"]
                progress.add_clip()
        _warn_if_small(counts)
        _warn_if_empty(num_empty)
        result.elapsed_sec = time.monotonic() - start_sec
        return result


def _copy_clip(
    array, job: Job, cache: FeatureCache, result: ExtractionResult, progress: ExtractionProgress
) -> collections.Counter:
    """Returns the sum of what `iter_maps` counts, nothing where the clip fails."""
    clip, total = job.clip, collections.Counter()
    try:
        with cache.open_writer(clip.clip_id) as writer:
            for maps, counts in iter_maps(array, clip.clip_id):
                start = writer.num_frames
                writer.append(
                    maps,
                    frame_index=list(range(start, start + len(maps))),
                    timestamp_sec=[float("nan")] * len(maps),
                )
                total += counts
                progress.add_frames(len(maps))
            if read_feature_stat(job.source) != job.source_stat:
                raise ValueError(
                    f"{job.source}: changed since the import began, so the features of "
                    f"{clip.clip_id} may be of both states. Run the same command again when "
                    "nothing writes to it any more."
                )
            result.size_bytes += writer.commit(job.source_stat)
    except ValueError as error:
        result.failures.append(Failure(clip, str(error)))
        return collections.Counter()
    result.clips_done += 1
    result.frames += len(array)
    return total


def _warn_if_small(counts: collections.Counter) -> None:
    if 2 * counts["normal"] < counts["nonzero"]:
        logging.warning(
            "%.0f%% of the values that are not 0 lie below %.1e, where float16 has few digits "
            "left or none: they are not what they were. %s",
            100 * (1 - counts["normal"] / counts["nonzero"]),
            SMALLEST_NORMAL,
            SCALE,
        )


def _warn_if_empty(num_empty: dict[str, int]) -> None:
    if num_empty:
        logging.warning(
            "Frames of which every value is 0: %d, in clips: %d, such as %s. They count like any "
            "other. Leave out what only fills clips up to one length; compute again what was never "
            "written, as where a virtual dataset's files are not there",
            sum(num_empty.values()),
            len(num_empty),
            next(iter(num_empty)),
        )


def _make_contract(features: Path, feature_shape: tuple[int, ...]) -> Contract:
    return Contract(
        backbone=IMPORTED_BACKBONE,
        # Two tools' features may have one shape: the name of the file tells them apart.
        cut=features.resolve().name,
        weights_sha256="",
        preprocessing="",
        resize="",
        image_size_px=0,
        frame_selection="all",
        views="one",
        compute_dtype="",
        storage_dtype=STORAGE_DTYPE,
        feature_shape=feature_shape,
        weights=str(features.absolute()),
    )
