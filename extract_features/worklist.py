"""Which clips are to be extracted, and what is known of the others beforehand."""

import dataclasses
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple, Protocol

from lrcn.common.cache.failure_list import Failure
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.source_stat import read_clip_stat
from lrcn.common.programs.progress import Progress


class ClipSources(Protocol):
    """What clips' features are made of: their own files, or what another tool made."""

    def find(self, clip: Clip) -> Path:
        """Finds a clip's source, whether or not it exists."""

    def read_stat(self, clip: Clip) -> SourceStat:
        """Reads the state of a clip's source.

        Raises:
            UnreadableClipError: If it is not there, or plainly no clip.
        """


@dataclasses.dataclass(frozen=True)
class DataSources:
    """The clips' own files and folders, whose paths start from `root`."""

    root: Path

    def find(self, clip: Clip) -> Path:
        return self.root / clip.path

    def read_stat(self, clip: Clip) -> SourceStat:
        return read_clip_stat(self.find(clip), clip)


class Job(NamedTuple):
    """A clip to extract, and the state of its source when that was found."""

    clip: Clip
    source: Path
    source_stat: SourceStat


@dataclasses.dataclass(frozen=True)
class Worklist:
    """Clips by what is to be done with them.

    Attributes:
        pending: Those to extract.
        num_current: How many the cache has.
        kept: Those of them whose features are of the first part of a broken video.
        unreadable: Those that plainly cannot be read.
    """

    pending: list[Job]
    num_current: int
    kept: list[Failure]
    unreadable: list[Failure]

    @property
    def num_clips(self) -> int:
        """How many clips these are."""
        return len(self.undone) + self.num_current

    @property
    def undone(self) -> list[Clip]:
        """Those of which the cache has no features that are of their source as it is."""
        return [*(job.clip for job in self.pending), *(x.clip for x in self.unreadable)]


def find_work(
    clips: list[Clip],
    sources: ClipSources,
    existing: FeatureCache | None = None,
    *,
    corrected: Set[str] = frozenset(),
) -> Worklist:
    """Finds which clips are done already, and which can be.

    Args:
        clips: The clips.
        sources: What their features are made of.
        existing: The cache, where there is one.
        corrected: Clips whose cached features are not of their sources, whatever these say.

    Raises:
        OSError: If a cached clip's file cannot be read now.
    """
    jobs, unreadable = [], []
    with Progress(len(clips), "clip", part="looking at sources") as progress:
        for clip in progress.track(clips):
            try:
                jobs.append(Job(clip, sources.find(clip), sources.read_stat(clip)))
            except UnreadableClipError as error:
                unreadable.append(Failure(clip, str(error)))
    # In a second loop: sources and the cache in turn take a third more time.
    pending, kept = [], []
    with Progress(len(jobs), "clip", part="looking into the cache") as progress:
        for job in progress.track(jobs):
            broken_off = None
            if existing is not None and job.clip.clip_id not in corrected:
                broken_off = existing.read_broken_off(job.clip.clip_id, job.source_stat)
            if broken_off is None:
                pending.append(job)
            elif broken_off:
                kept.append(Failure(job.clip, broken_off))
    return Worklist(pending, len(jobs) - len(pending), kept, unreadable)


def check_any_readable(work: Worklist, clips: list[Clip], *, listed_in: Path) -> None:
    """Checks that one of the clips may be read, before VGG16 is built for nothing.

    Args:
        work: What is to be done for them, or for a shard's own.
        clips: All of the data.
        listed_in: What was given as `--data`.

    Raises:
        ValueError: If none of them can.
    """
    if len(work.unreadable) == len(clips):
        clip, reason = work.unreadable[0]
        raise ValueError(
            f"{listed_in}: expected a clip that can be read. Received {len(clips):,} that cannot, "
            f"such as {clip.clip_id}: {reason}\nMend them, or name where they are now (--data, of "
            "a manifest --data_root)."
        )
