"""Stage 1 as one function: from data to a cache that holds every clip's features."""

import time
from pathlib import Path

from absl import logging

from extract_features.backbone_settings import (
    BackboneSettings,
    build_forward,
    complete_settings,
    may_hold,
)
from extract_features.batches import Job
from extract_features.clip_list import (
    DataSettings,
    leave_out_clips,
    outlives_source,
    read_split_clips,
    write_clip_list,
    write_failures,
)
from extract_features.disk_space import check_disk_space
from extract_features.pipeline import run_pipeline
from extract_features.progress import ExtractionProgress
from extract_features.same_data import check_data_root, check_moved_data, check_same_data
from extract_features.summary import ExtractionResult, Summary
from lrcn.common.cache_lock import ALL_CLIPS, Shard, lock_cache
from lrcn.common.clip import Clip
from lrcn.common.decode import UnreadableClipError
from lrcn.common.devices import describe_device
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.open_cache import check_contract, create_cache, find_cache
from lrcn.common.source_stat import read_clip_stat


def extract_features(
    data_settings: DataSettings,
    backbone_settings: BackboneSettings,
    *,
    cache_dir: Path,
    batch_size: int | None,
    num_decode_threads: int,
    compression: str = "gzip",
    keep_partial: bool = False,
    shard: Shard = ALL_CLIPS,
) -> Summary:
    """Fills the cache with the features of every clip that it does not hold yet.

    Args:
        data_settings: The clips and their splits.
        backbone_settings: What is computed.
        cache_dir: The cache, made where there is none.
        batch_size: Views of frames that the backbone sees at once, of one or several clips. The
            largest whole number of frames is taken, at least one.
        num_decode_threads: Threads that decode.
        compression: One of `clip_file.COMPRESSIONS`, for the clips that are written now.
        keep_partial: Keep the frames of a video up to where it breaks off. Such a clip is current
            for later runs too.
        shard: Which of the clips; others may be extracted into the same cache meanwhile.

    Returns:
        What was done. Clips that failed, or are kept in part, stand in it and in the cache's
        `failures.csv`.

    Raises:
        ValueError: If data, weights or an existing cache do not fit.
        OSError: If something is missing or cannot be written, or the disk is far too small.
        RuntimeError: If another process writes to the cache.
    """
    start_sec = time.monotonic()
    # Data that is refused leaves no folder behind, so it is read before the cache is locked.
    existing = find_cache(cache_dir)
    data_settings = data_settings.complete(existing)
    clips, data_root = read_split_clips(data_settings)
    check_data_root(data_settings.data, clips, data_root, existing)
    with lock_cache(cache_dir, shard) as lock:
        existing = find_cache(cache_dir)
        if existing is not None:
            check_same_data(existing, clips)
        settings = complete_settings(backbone_settings, existing)
        own_clips = [clip for clip in clips if shard.holds(clip.clip_id)]
        jobs, unreadable = find_jobs(own_clips, data_root)
        states = [(job, _read_broken_off(existing, job)) for job in jobs]
        pending = [job for job, broken_off in states if broken_off is None]
        if existing is not None and existing.data_root != str(data_root.resolve()):
            # Of all clips: a shard's own may be none, or be none that are cached.
            all_jobs, _ = find_jobs(clips, data_root)
            sources = {job.clip.clip_id: job.source_stat for job in all_jobs}
            check_moved_data(existing, clips, sources, was=existing.data_root, now=data_root)
        # A finished cache costs no start-up: TensorFlow is imported where there is work, or where
        # only the weights tell whether the settings fit.
        if existing is None or pending or not may_hold(existing, backbone_settings):
            contract, forward, frames_per_batch = build_forward(settings, batch_size)
        else:
            contract = existing.contract
        # Nothing is written before all is checked: a refused extraction leaves a cache as it was.
        if existing is not None:
            check_contract(existing, contract)
        if pending:
            check_disk_space(pending, contract, cache_dir)
        with lock.hold_shared_files():
            cache = create_cache(
                cache_dir,
                contract=contract,
                data_root=data_root,
                data_settings=data_settings.to_remember(),
            )
            # First what no longer fits goes, then the new list comes: whenever this is stopped, no
            # clip is listed with features that are not of it.
            for job in pending:
                cache.remove_clip(job.clip.clip_id)
            write_clip_list(cache, clips)
        result = ExtractionResult()
        if pending:
            if unreadable:
                logging.warning(
                    "Clips that cannot be read: %d of %d, such as %s: %s",
                    len(unreadable),
                    len(own_clips),
                    unreadable[0][0].clip_id,
                    unreadable[0][1],
                )
            logging.info(
                "%d of %d clips to extract into %s (%s, %s, %d frames at once, on %s)",
                len(pending),
                len(own_clips),
                cache_dir,
                cache.contract.cut,
                cache.contract.compute_dtype,
                frames_per_batch,
                describe_device(),
            )
            with ExtractionProgress(len(pending)) as progress:
                result = run_pipeline(
                    pending,
                    cache=cache,
                    forward=forward,
                    batch_size=frames_per_batch,
                    num_decode_threads=num_decode_threads,
                    compression=compression,
                    progress=progress,
                    keep_partial=keep_partial,
                )
        result.failures += unreadable
        result.kept += [(job.clip, broken_off) for job, broken_off in states if broken_off]
        with lock.hold_shared_files():
            listed = write_failures(
                cache,
                result.failures + result.kept,
                kept_clip_ids={clip.clip_id for clip in clips} - {x.clip_id for x in own_clips},
            )
            if data_settings.skip_unreadable:
                # Of all shards alike, or the last would bring back what others left out.
                left_out = {
                    clip.clip_id
                    for clip in clips
                    if clip.clip_id in listed and not _has_features(cache, clip, data_root)
                }
                leave_out_clips(cache, clips, left_out, result.failures)
    return Summary(
        result,
        skipped=len(jobs) - len(pending),
        elapsed_sec=time.monotonic() - start_sec,
        skip_unreadable=data_settings.skip_unreadable,
    )


def _read_broken_off(existing: FeatureCache | None, job: Job) -> str | None:
    if existing is None:
        return None
    return existing.read_broken_off(job.clip.clip_id, job.source_stat)


def _has_features(cache: FeatureCache, clip: Clip, data_root: Path) -> bool:
    try:
        return cache.is_current(clip.clip_id, read_clip_stat(data_root, clip))
    except UnreadableClipError:
        return outlives_source(cache, clip, data_root / clip.path)


def find_jobs(clips: list[Clip], data_root: Path) -> tuple[list[Job], list[tuple[Clip, str]]]:
    """Finds the clips' sources: those that are there, and (clip, reason) of the others."""
    jobs, unreadable = [], []
    for clip in clips:
        try:
            jobs.append(Job(clip, data_root / clip.path, read_clip_stat(data_root, clip)))
        except UnreadableClipError as error:
            unreadable.append((clip, str(error)))
    return jobs, unreadable
