"""Filling a cache, whoever makes the features, in the order that keeps it whole when stopped."""

import contextlib
import os
import time
from pathlib import Path
from typing import Protocol

from absl import logging

from extract_features.clip_list import (
    leave_out_clips,
    read_failures,
    write_clip_list,
    write_failures,
)
from extract_features.corrected_paths import find_corrected
from extract_features.given_data import GivenData
from extract_features.same_data import check_same_data, warn_of_changes
from extract_features.summary import ExtractionResult, Summary
from extract_features.worklist import (
    ClipSources,
    Job,
    Worklist,
    check_any_readable,
    find_work,
)
from lrcn.common.cache.cache_lock import ALL_CLIPS, CacheLock, Shard, lock_cache
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.failure_list import Failure
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.open_cache import create_cache, find_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.files.atomic_file import make_temporary_path


class FeatureMaker(Protocol):
    """What makes the features of clips: VGG16, or a copy of what another tool made."""

    sources: ClipSources

    def prepare(
        self, pending: list[Job], clips: list[Clip], existing: FeatureCache | None
    ) -> Contract:
        """Gets ready for the pending clips, and returns the contract of their features.

        Raises:
            ValueError: If the features cannot be made, or the existing cache is of others.
            OSError: If there is no room for them.
        """

    def make_features(self, work: Worklist, cache: FeatureCache) -> ExtractionResult:
        """Puts the features of the pending clips into the cache."""


def fill_cache(
    data: GivenData,
    maker: FeatureMaker,
    *,
    cache_dir: Path,
    start_sec: float,
    shard: Shard = ALL_CLIPS,
) -> Summary:
    """Fills the cache with the features of every clip that it does not hold yet.

    Arguments and errors as `extract_features`, which began at `start_sec` of `time.monotonic`.
    """
    _check_path_lengths(data.clips, cache_dir)
    outcome = None
    if not os.access(cache_dir, os.W_OK):
        # Shared by many, say. With anything to write, the lock says that it cannot be.
        outcome = _find_finished(data, maker, find_cache(cache_dir))
    if outcome is None:
        with lock_cache(cache_dir, shard) as lock:
            outcome = _fill_locked(data, maker, cache_dir=cache_dir, shard=shard, lock=lock)
    result, num_current = outcome
    return Summary(
        result,
        skipped=num_current,
        elapsed_sec=time.monotonic() - start_sec,
        skip_unreadable=data.settings.skip_unreadable,
    )


def _check_path_lengths(clips: list[Clip], cache_dir: Path) -> None:
    """Checks that the system takes the longest path of the cache, before any is written.

    Raises:
        OSError: If it does not.
    """
    longest_id = max((clip.clip_id for clip in clips), key=lambda x: len(os.fsencode(x)))
    # The names that they are written under, which are longer.
    clip = make_temporary_path(cache_dir / "clips" / f"{longest_id}.h5")
    for path in (clip, cache_dir / ".manifest.csv.00000000.tmp"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)


def _find_finished(
    data: GivenData, maker: FeatureMaker, existing: FeatureCache | None
) -> tuple[ExtractionResult, int] | None:
    """Looks at a cache that cannot be written: is there nothing to do?

    Where unreadable clips are skipped, those that have failed before count as done.

    Returns:
        As `_fill_locked`; None if the cache lacks clips or lists others. Raises as `prepare`.
    """
    if existing is None or not existing.manifest_path.exists():
        return None
    work = find_work(data.clips, maker.sources, existing)
    known = read_failures(existing) if data.settings.skip_unreadable else {}
    if any(clip.clip_id not in known for clip in work.undone):
        return None
    lost = _find_lost(work.undone, maker.sources, existing)
    if read_manifest(existing.manifest_path) != [x for x in data.clips if x.clip_id not in lost]:
        return None
    maker.prepare([], data.clips, existing)  # raises where the cache is of other settings
    logging.info("%s: cannot be written, and is finished", existing.cache_dir)
    failures = [Failure(clip, known[clip.clip_id]) for clip in work.undone]
    return ExtractionResult(kept=work.kept, failures=failures), work.num_current


def _fill_locked(
    data: GivenData, maker: FeatureMaker, *, cache_dir: Path, shard: Shard, lock: CacheLock
) -> tuple[ExtractionResult, int]:
    """Returns what was done, and how many clips the cache had."""
    clips = data.clips
    existing = find_cache(cache_dir)
    listed = check_same_data(existing, clips)
    own = [clip for clip in clips if shard.holds(clip.clip_id)]
    others = [clip for clip in clips if not shard.holds(clip.clip_id)]
    corrected = find_corrected(listed, clips, maker.sources)
    work = find_work(own, maker.sources, existing, corrected=corrected)
    if existing is None:
        check_any_readable(work, clips, listed_in=data.settings.data)
    # Nothing is written before all is checked: what is refused leaves a cache as it was.
    contract = maker.prepare(work.pending, clips, existing)
    warn_of_changes(listed, clips, where=cache_dir / "manifest.csv")
    with lock.hold_shared_files():
        # Another shard may have made the cache meanwhile. Then settings that are left out here are
        # what that one has: the machine it runs on may have chosen another dtype.
        found = find_cache(cache_dir) if existing is None else None
        if found is not None and found.contract != contract:
            contract = maker.prepare(work.pending, clips, found)
        cache = create_cache(
            cache_dir,
            contract=contract,
            data_root=data.root,
            data_settings=data.settings.to_remember(),
        )
        # First what no longer fits goes, then the new list comes: whenever this is stopped, no
        # clip is listed with features that are not of it.
        # Of corrected ones that of other shards, too: by the new list they could not tell.
        for clip_id in corrected | {job.clip.clip_id for job in work.pending}:
            cache.clip_path(clip_id).unlink(missing_ok=True)
        write_clip_list(cache, clips)
    result = maker.make_features(work, cache) if work.pending else ExtractionResult()
    result.failures += work.unreadable
    result.kept += work.kept
    with lock.hold_shared_files():
        failed = write_failures(
            cache, result.failures + result.kept, kept_clip_ids={clip.clip_id for clip in others}
        )
        if data.settings.skip_unreadable and not _is_listed_anew(clips, cache, failed):
            # Also the failed clips of other shards: else the last shard would list them again.
            lost = _find_lost([x for x in clips if x.clip_id in failed], maker.sources, cache)
            leave_out_clips(cache, clips, lost, result.failures)
    _warn_of_changed_sources(others, maker.sources, cache)
    return result, work.num_current


def _is_listed_anew(clips: list[Clip], cache: FeatureCache, failed: set[str]) -> bool:
    """Whether another shard, of data that changed meanwhile, has listed other clips than these.

    If so its list stays, and a warning tells of it.
    """
    listed = set(read_manifest(cache.manifest_path))
    left_out = {x.clip_id for x in set(clips) - listed}
    if listed <= set(clips) and left_out <= failed:
        return False
    logging.warning(
        "%s: another shard has listed other clips, labels or splits since this one began. Run all "
        "shards once more, on the same data",
        cache.manifest_path,
    )
    return True


def _warn_of_changed_sources(clips: list[Clip], sources: ClipSources, cache: FeatureCache) -> None:
    """Warns of clips of other shards whose cached features are not of their sources as they are.

    They are not ours to remove: on another machine a copy of the same source has another time.
    """
    outdated = [
        job.clip
        for job in find_work(clips, sources, cache).pending
        if cache.clip_path(job.clip.clip_id).exists()
    ]
    if outdated:
        logging.warning(
            "%s: clips of other shards whose sources have changed since they were extracted: %d, "
            "such as %s. Run their shards too before you train: they extract them anew",
            cache.cache_dir,
            len(outdated),
            outdated[0].clip_id,
        )


def _find_lost(clips: list[Clip], sources: ClipSources, cache: FeatureCache) -> set[str]:
    """Finds the clips that the cache has no features of."""
    undone = find_work(clips, sources, cache).undone
    return {x.clip_id for x in undone if not _outlives_source(cache, x, sources.find(x))}


def _outlives_source(cache: FeatureCache, clip: Clip, source: Path) -> bool:
    """Whether a clip without its source stays in the cache, for the features it has there.

    A source that is there, and cannot be read now, may be another than they were made of.
    """
    try:
        os.stat(source)
    except (FileNotFoundError, NotADirectoryError):
        return cache.holds(clip.clip_id, clip.span)
    except OSError:
        pass
    return False
