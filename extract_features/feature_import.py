"""Makes a cache from features that another tool computed."""

import collections
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging

from extract_features.batches import Job
from extract_features.clip_list import (
    DataSettings,
    leave_out_clips,
    outlives_source,
    read_split_clips,
    write_clip_list,
    write_failures,
)
from extract_features.feature_source import (
    check_array,
    check_shape,
    find_feature_source,
    open_features,
    read_feature_stat,
    read_rows,
)
from extract_features.same_data import check_moved_data, check_same_data, warn_of_changes
from extract_features.summary import ExtractionResult, Summary
from extract_features.worklist import find_work
from lrcn.common.cache_lock import lock_cache
from lrcn.common.clip import Clip
from lrcn.common.clip_file import STORAGE_DTYPE
from lrcn.common.contract import IMPORTED_BACKBONE, Contract
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.open_cache import check_contract, create_cache, find_cache

_ROWS_AT_ONCE = 256
# float16 has 11 bits for a value from here on, and fewer the smaller it is.
_SMALLEST_NORMAL = float(np.finfo(STORAGE_DTYPE).smallest_normal)
_SCALE = "Scale the features of all clips by one number, such as 1 / the largest of them."


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
    data_settings = data_settings.complete(find_cache(cache_dir))
    clips, data_root = read_split_clips(data_settings, paths_are_sources=False)
    # In this order, so that a name that is misspelt leaves no folder behind.
    with open_features(features) as read_array, lock_cache(cache_dir):
        existing = find_cache(cache_dir)
        if existing is not None:
            check_same_data(existing, clips)
        contract = _make_contract(features, clips, read_array)
        jobs, unreadable = _find_jobs(features, clips)
        if existing is not None:
            check_contract(existing, contract)
            if existing.contract.weights != contract.weights:
                was = existing.contract.weights
                check_moved_data(existing, clips, jobs, was=was, now=features)
        if existing is not None:
            warn_of_changes(existing, clips)
        cache = create_cache(
            cache_dir,
            contract=contract,
            data_root=data_root,
            data_settings=data_settings.to_remember(),
        )
        work = find_work(jobs, unreadable, cache)
        # Before the first is copied, as in `extract_features`: an import may be stopped.
        for job in work.pending:
            cache.remove_clip(job.clip.clip_id)
        write_clip_list(cache, clips)
        result = ExtractionResult(failures=[*work.unreadable])
        num_values = np.zeros(3, np.int64)
        for job in work.pending:
            try:
                array = read_array(job.clip.clip_id)
                check_shape(array, job.clip, cache.contract)
            except (ValueError, OSError) as error:
                result.failures.append((job.clip, str(error)))
                continue
            num_values += _copy_clip(array, job, cache, result)
        _warn_if_small(num_values)
        write_failures(cache, result.failures)
        result.elapsed_sec = time.monotonic() - start_sec
        if data_settings.skip_unreadable and result.failures:
            left_out = {
                clip.clip_id
                for clip, _ in result.failures
                if not outlives_source(cache, clip, find_feature_source(features, clip.clip_id))
            }
            leave_out_clips(cache, clips, left_out, result.failures)
    return Summary(
        result,
        skipped=work.num_current,
        elapsed_sec=time.monotonic() - start_sec,
        skip_unreadable=data_settings.skip_unreadable,
    )


def _find_jobs(features: Path, clips: list[Clip]) -> tuple[list[Job], list[tuple[Clip, str]]]:
    """As `worklist.find_jobs`, of the files with their features."""
    jobs, unreadable = [], []
    for clip in clips:
        source = find_feature_source(features, clip.clip_id)
        try:
            jobs.append(Job(clip, source, read_feature_stat(source)))
        except OSError as error:
            unreadable.append((clip, str(error)))
    return jobs, unreadable


def _copy_clip(array, job: Job, cache: FeatureCache, result: ExtractionResult) -> np.ndarray:
    """Returns the sum of `_count_values`, zeros where the clip fails."""
    clip, num_values = job.clip, np.zeros(3, np.int64)
    writer = cache.open_writer(clip.clip_id)
    try:
        for start in range(0, len(array), _ROWS_AT_ONCE):
            rows = read_rows(array, slice(start, start + _ROWS_AT_ONCE), clip)
            with np.errstate(over="ignore"):  # an overflow is the writer's error
                maps = rows.astype(STORAGE_DTYPE)
            num_values += _count_values(rows, maps)
            writer.append(
                maps,
                frame_index=list(range(start, start + len(rows))),
                timestamp_sec=[float("nan")] * len(rows),
            )
        if num_values[0] and not num_values[1]:
            raise ValueError(
                f"{clip.clip_id}: expected values that float16 can hold. Received: {num_values[0]} "
                f"that are not 0, of which all become 0 in it. {_SCALE}"
            )
        result.size_bytes += writer.commit(job.source_stat)
    except ValueError as error:
        writer.discard()
        result.failures.append((clip, str(error)))
        return np.zeros_like(num_values)
    except BaseException:
        writer.discard()
        raise
    else:
        result.clips_done += 1
        result.frames += len(array)
    return num_values


def _count_values(rows: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Counts the values that are not 0, of these those that are not 0 in float16, and normal."""
    normal = np.abs(maps) >= _SMALLEST_NORMAL
    return np.array([np.count_nonzero(x) for x in (rows, maps, normal)])


def _warn_if_small(num_values: np.ndarray) -> None:
    if 2 * num_values[2] < num_values[0]:
        logging.warning(
            "%.0f%% of the values that are not 0 lie below %.1e, where float16 has few digits "
            "left or none: they are not what they were. %s",
            100 * (1 - num_values[2] / num_values[0]),
            _SMALLEST_NORMAL,
            _SCALE,
        )


def _make_contract(features: Path, clips: list[Clip], read_array: Callable) -> Contract:
    """Makes the contract of what most clips have: one odd clip does not decide over the others."""
    missing = unfit = None
    shapes, lengths = collections.Counter(), set()
    for clip in clips:
        try:
            array = read_array(clip.clip_id)
            check_array(array, clip)
            shapes[array.shape[1:]] += 1
            lengths.add(array.shape[0])
        except FileNotFoundError as error:
            missing = missing or error
        except (ValueError, OSError) as error:
            unfit = unfit or error
    if not shapes and unfit is not None:
        raise ValueError(
            f"{features}: expected features that can be taken. Received such of none of the "
            f"{len(clips)} clips in --data: {unfit}"
        )
    if not shapes:
        raise ValueError(
            f"{features}: holds features of none of the {len(clips)} clips in --data ({missing}). "
            "Its names must be the manifest's clip_ids."
        )
    feature_shape, num_alike = shapes.most_common(1)[0]
    # Of arrays that are right, lengths differ, and most clips are alike in the rest.
    if len(lengths) == 1 and len(feature_shape) == 1 and 2 * num_alike < shapes.total():
        raise ValueError(
            f"{features}: expected arrays [T, ...], a row for each frame. Received: "
            f"{lengths.pop()} rows in each of {shapes.total()} clips, and {len(shapes)} numbers of "
            "columns, as of arrays whose columns are the frames. Save them transposed."
        )
    _warn_of_axes(features, feature_shape, lengths)
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
        weights=os.path.abspath(features),
    )


def _warn_of_axes(features: Path, feature_shape: tuple[int, ...], lengths: set[int]) -> None:
    """Warns of arrays that can be taken, and whose axes are rather those of PyTorch."""
    shown = f"[{', '.join(map(str, feature_shape))}]"
    # A frame is a vector or a map; one with an axis more is a clip behind an axis of batches.
    if lengths == {1} and len(feature_shape) in (2, 4):
        logging.warning(
            "%s: every clip has one frame, of shape %s: if that is the clip, in a batch of one, "
            "save it without the axis of the batch",
            features,
            shown,
        )
    elif len(feature_shape) == 3 and feature_shape[0] > feature_shape[1] == feature_shape[2]:
        logging.warning(
            "%s: frames of shape %s look like [c, h, w], and are read as [h, w, c]. If so, save "
            "them transposed: pooling over positions would pool over channels",
            features,
            shown,
        )
