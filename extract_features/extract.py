"""Stage 1 as one function: from data to a cache that holds every clip's features."""

import os
import time
from pathlib import Path

from absl import logging

from extract_features.backbone_settings import (
    Backbone,
    BackboneSettings,
    build_backbone,
    complete_settings,
    may_hold,
)
from extract_features.clip_list import (
    DataSettings,
    leave_out_clips,
    outlives_source,
    read_failures,
    read_split_clips,
    write_clip_list,
    write_failures,
)
from extract_features.disk_space import check_disk_space
from extract_features.pipeline import PipelineSettings, run_pipeline
from extract_features.progress import ExtractionProgress
from extract_features.same_data import (
    check_data_root,
    check_moved_data,
    check_same_data,
    warn_of_changes,
)
from extract_features.summary import ExtractionResult, Summary
from extract_features.worklist import Worklist, find_jobs, find_work
from lrcn.common.cache_lock import ALL_CLIPS, Shard, lock_cache
from lrcn.common.clip import Clip
from lrcn.common.decode import UnreadableClipError
from lrcn.common.devices import describe_device
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.manifest import read_manifest
from lrcn.common.open_cache import check_contract, create_cache, find_cache
from lrcn.common.source_stat import read_clip_stat


def extract_features(
    data_settings: DataSettings,
    backbone_settings: BackboneSettings,
    pipeline_settings: PipelineSettings,
    *,
    cache_dir: Path,
    shard: Shard = ALL_CLIPS,
) -> Summary:
    """Fills the cache with the features of every clip that it does not hold yet.

    Args:
        data_settings: The clips and their splits.
        backbone_settings: What is computed.
        pipeline_settings: How.
        cache_dir: The cache, made where there is none.
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
    if existing is not None and not os.access(cache_dir, os.W_OK):
        # Shared by many, say. With anything to write, the lock says that it cannot be.
        finished = _find_finished(
            existing, clips, data_root, skip_unreadable=data_settings.skip_unreadable
        )
        if finished is not None and may_hold(existing, backbone_settings):
            logging.info("%s: cannot be written, and is finished", cache_dir)
            result, num_current = finished
            return Summary(
                result,
                skipped=num_current,
                elapsed_sec=time.monotonic() - start_sec,
                skip_unreadable=data_settings.skip_unreadable,
            )
    with lock_cache(cache_dir, shard) as lock:
        existing = find_cache(cache_dir)
        if existing is not None:
            check_same_data(existing, clips)
        settings = complete_settings(backbone_settings, existing)
        own_clips = [clip for clip in clips if shard.holds(clip.clip_id)]
        work = find_work(*find_jobs(own_clips, data_root), existing)
        if existing is not None and existing.data_root != str(data_root.resolve()):
            # Of all clips: a shard's own may be none, or be none that are cached.
            jobs, _ = find_jobs(clips, data_root)
            check_moved_data(existing, clips, jobs, was=existing.data_root, now=data_root)
        # A finished cache costs no start-up: TensorFlow is imported where there is work, or where
        # only the weights tell whether the settings fit.
        backbone = None
        if existing is None or work.pending or not may_hold(existing, backbone_settings):
            backbone = build_backbone(settings, pipeline_settings.batch_size)
        contract = existing.contract if backbone is None else backbone.contract
        # Nothing is written before all is checked: a refused extraction leaves a cache as it was.
        if existing is not None:
            check_contract(existing, contract)
        if work.pending:
            check_disk_space(work.pending, contract, cache_dir)
        if existing is not None:
            warn_of_changes(existing, clips)
        with lock.hold_shared_files():
            cache = create_cache(
                cache_dir,
                contract=contract,
                data_root=data_root,
                data_settings=data_settings.to_remember(),
            )
            # First what no longer fits goes, then the new list comes: whenever this is stopped, no
            # clip is listed with features that are not of it.
            for job in work.pending:
                cache.remove_clip(job.clip.clip_id)
            write_clip_list(cache, clips)
        result = ExtractionResult()
        if work.pending:
            result = _extract_pending(work, cache, backbone, pipeline_settings)
        result.failures += work.unreadable
        result.kept += work.kept
        with lock.hold_shared_files():
            listed = write_failures(
                cache,
                result.failures + result.kept,
                kept_clip_ids={x.clip_id for x in clips} - {x.clip_id for x in own_clips},
            )
            if data_settings.skip_unreadable:
                # Of all shards alike, or the last would bring back what others left out.
                failed = [clip for clip in clips if clip.clip_id in listed]
                left_out = {x.clip_id for x in failed if not _has_features(cache, x, data_root)}
                leave_out_clips(cache, clips, left_out, result.failures)
    return Summary(
        result,
        skipped=work.num_current,
        elapsed_sec=time.monotonic() - start_sec,
        skip_unreadable=data_settings.skip_unreadable,
    )


def _find_finished(
    existing: FeatureCache, clips: list[Clip], data_root: Path, *, skip_unreadable: bool
) -> tuple[ExtractionResult, int] | None:
    """Returns what is to be told of a finished cache, and how many clips it has; None of another.

    Where unreadable clips are skipped, those that have failed before are done.
    """
    work = find_work(*find_jobs(clips, data_root), existing)
    known = read_failures(existing) if skip_unreadable else {}
    undone = [*(job.clip for job in work.pending), *(clip for clip, _ in work.unreadable)]
    if (
        any(clip.clip_id not in known for clip in undone)
        or existing.data_root != str(data_root.resolve())
        or not existing.manifest_path.exists()
    ):
        return None
    left_out = {x.clip_id for x in undone if not _has_features(existing, x, data_root)}
    if read_manifest(existing.manifest_path) != [x for x in clips if x.clip_id not in left_out]:
        return None
    failures = [(clip, known[clip.clip_id]) for clip in undone]
    return ExtractionResult(kept=work.kept, failures=failures), work.num_current


def _extract_pending(
    work: Worklist, cache: FeatureCache, backbone: Backbone, settings: PipelineSettings
) -> ExtractionResult:
    if work.unreadable:
        clip, reason = work.unreadable[0]
        logging.warning(
            "Clips that cannot be read: %d of %d, such as %s: %s",
            len(work.unreadable),
            work.num_clips,
            clip.clip_id,
            reason,
        )
    logging.info(
        "%d of %d clips to extract into %s (%s, %s, %d frames at once, on %s)",
        len(work.pending),
        work.num_clips,
        cache.cache_dir,
        cache.contract.cut,
        cache.contract.compute_dtype,
        backbone.batch_size,
        describe_device(),
    )
    with ExtractionProgress(len(work.pending)) as progress:
        return run_pipeline(
            work.pending, cache=cache, backbone=backbone, settings=settings, progress=progress
        )


def _has_features(cache: FeatureCache, clip: Clip, data_root: Path) -> bool:
    try:
        return cache.is_current(clip.clip_id, read_clip_stat(data_root, clip))
    except UnreadableClipError:
        return outlives_source(cache, clip, data_root / clip.path)
