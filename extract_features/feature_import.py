"""Makes a cache from features that another tool computed."""

import collections
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from extract_features.clip_list import (
    DataSettings,
    check_moved_data,
    check_same_data,
    leave_out_clips,
    read_split_clips,
    write_clip_list,
    write_failures,
)
from extract_features.summary import ExtractionResult, Summary
from lrcn.common.cache_lock import lock_cache
from lrcn.common.clip import Clip, SourceStat
from lrcn.common.clip_file import STORAGE_DTYPE
from lrcn.common.contract import IMPORTED_BACKBONE, Contract
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.open_cache import check_contract, create_cache, find_cache

_ROWS_AT_ONCE = 256


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
    clips, data_root = read_split_clips(data_settings)
    result, skipped = ExtractionResult(), 0
    with lock_cache(cache_dir), _open_features(features) as read_array:
        existing = find_cache(cache_dir)
        if existing is not None:
            check_same_data(existing, clips)
        contract = _make_contract(features, clips, read_array)
        if existing is not None:
            check_contract(existing, contract)
            if existing.contract.weights != contract.weights:
                was, sources = existing.contract.weights, _read_feature_stats(features, clips)
                check_moved_data(existing, clips, sources, was=was, now=features)
        cache = create_cache(
            cache_dir,
            contract=contract,
            data_root=data_root,
            data_settings=data_settings.to_remember(),
        )
        pending = []
        for clip in clips:
            source = find_feature_source(features, clip.clip_id)
            try:
                source_stat = read_feature_stat(source)
            except OSError as error:
                result.failures.append((clip, str(error)))
                continue
            if cache.is_current(clip.clip_id, source_stat):
                skipped += 1
            else:
                pending.append((clip, source_stat))
        # Before the first is copied, as in `extract_features`: an import may be stopped.
        for clip, _ in pending:
            cache.remove_clip(clip.clip_id)
        write_clip_list(cache, clips)
        for clip, source_stat in pending:
            try:
                array = read_array(clip.clip_id)
                _check_shape(array, clip, cache.contract)
            except (ValueError, OSError, KeyError) as error:
                result.failures.append((clip, str(error)))
                continue
            _copy_clip(array, clip, cache, source_stat, result)
        write_failures(cache, result.failures)
        result.elapsed_sec = time.monotonic() - start_sec
        if data_settings.skip_unreadable and result.failures:
            failed = {clip.clip_id for clip, _ in result.failures}
            leave_out_clips(cache, clips, failed, result.failures)
    return Summary(
        result,
        skipped=skipped,
        elapsed_sec=time.monotonic() - start_sec,
        skip_unreadable=data_settings.skip_unreadable,
    )


def find_feature_source(features: Path, clip_id: str) -> Path:
    """Finds the file that a clip's features come from, whether or not it exists."""
    return _npy_path(features, clip_id) if features.is_dir() else features


def read_feature_stat(source: Path) -> SourceStat:
    """Reads the state of a file of features. Raises OSError if it is not there."""
    stat = os.stat(source)
    return SourceStat(stat.st_size, stat.st_mtime_ns)


def _read_feature_stats(features: Path, clips: list[Clip]) -> dict[str, SourceStat]:
    stats = {}
    for clip in clips:
        with contextlib.suppress(OSError):
            stats[clip.clip_id] = read_feature_stat(find_feature_source(features, clip.clip_id))
    return stats


def _copy_clip(
    array, clip: Clip, cache: FeatureCache, source_stat: SourceStat, result: ExtractionResult
) -> None:
    writer = cache.open_writer(clip.clip_id)
    try:
        for start in range(0, len(array), _ROWS_AT_ONCE):
            rows = _read_rows(array, slice(start, start + _ROWS_AT_ONCE), clip)
            with np.errstate(over="ignore"):  # an overflow is the writer's error
                maps = rows.astype(STORAGE_DTYPE)
            writer.append(
                maps,
                frame_index=list(range(start, start + len(rows))),
                timestamp_sec=[float("nan")] * len(rows),
            )
        result.size_bytes += writer.commit(source_stat)
    except ValueError as error:
        writer.discard()
        result.failures.append((clip, str(error)))
    except BaseException:
        writer.discard()
        raise
    else:
        result.clips_done += 1
        result.frames += len(array)


def _read_rows(array, rows: slice, clip: Clip) -> np.ndarray:
    try:
        return np.asarray(array[rows])
    except OSError as error:  # of this clip alone, unlike one of the cache
        raise ValueError(f"{clip.clip_id}: damaged ({error}). Compute it again.") from error


@contextlib.contextmanager
def _open_features(features: Path) -> Iterator[Callable]:
    """Yields a function from a clip_id to its array, or HDF5 dataset, [T, ...]."""
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
            f"<clip_id>.npy files. Received: a file that is not HDF5 ({error})."
        ) from error
    with file:

        def read_dataset(clip_id: str) -> h5py.Dataset:
            if not isinstance(file.get(clip_id), h5py.Dataset):
                raise ValueError(f"{features}: expected a dataset named {clip_id!r}, found none.")
            return file[clip_id]

        yield read_dataset


def _open_npy(path: Path) -> np.memmap:
    try:
        # Unlike np.load, it takes nothing but .npy; neither loads a pickle.
        return np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(
            f"{path}: expected an array of numbers, as numpy.save writes it ({error}). Write it "
            "again."
        ) from error


def _npy_path(folder: Path, clip_id: str) -> Path:
    return folder / f"{clip_id}.npy"


def _make_contract(features: Path, clips: list[Clip], read_array: Callable) -> Contract:
    """Makes the contract of what most clips have: one odd clip does not decide over the others."""
    reason = None
    shapes = collections.Counter()
    for clip in clips:
        try:
            array = read_array(clip.clip_id)
            _check_array(array, clip)
            shapes[array.shape[1:]] += 1
        except (ValueError, OSError) as error:
            reason = reason or error
    if not shapes:
        raise ValueError(
            f"{features}: holds features of none of the {len(clips)} clips in --data ({reason}). "
            "Its names must be the manifest's clip_ids."
        )
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
        feature_shape=shapes.most_common(1)[0][0],
        weights=os.path.abspath(features),
    )


def _check_array(array, clip: Clip) -> None:
    # An empty dataset of HDF5 has no shape at all.
    shape = array.shape or ()
    is_number = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
    if len(shape) < 2 or 0 in shape or not is_number:
        raise ValueError(
            f"{clip.clip_id}: expected numbers of shape [T, ...], at least one for each of at "
            f"least one frame. Received: shape {list(shape)}, dtype {array.dtype}."
        )


def _check_shape(array, clip: Clip, contract: Contract) -> None:
    _check_array(array, clip)
    if array.shape[1:] != contract.feature_shape:
        expected = ", ".join(map(str, contract.feature_shape))
        raise ValueError(
            f"{clip.clip_id}: expected shape [T, {expected}], as most clips have. Received: "
            f"{list(array.shape)}."
        )
