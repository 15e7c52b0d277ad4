"""Which clips are to be extracted, and what is known of the others beforehand."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from lrcn.common.clip import Clip, SourceStat
from lrcn.common.decode import UnreadableClipError
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.source_stat import read_clip_stat


class Job(NamedTuple):
    """A clip to extract."""

    clip: Clip
    source: Path
    source_stat: SourceStat


@dataclasses.dataclass(frozen=True)
class Worklist:
    """Clips by what is to be done with them.

    Attributes:
        pending: Those to extract.
        num_current: How many the cache has.
        kept: (clip, reason) of these whose features are of the first part of a broken video.
        unreadable: (clip, reason) of those that plainly cannot be read.
    """

    pending: list[Job]
    num_current: int
    kept: list[tuple[Clip, str]]
    unreadable: list[tuple[Clip, str]]

    @property
    def num_clips(self) -> int:
        """How many clips these are."""
        return len(self.pending) + self.num_current + len(self.unreadable)


def find_work(
    jobs: list[Job], unreadable: list[tuple[Clip, str]], existing: FeatureCache | None
) -> Worklist:
    """Finds which jobs are done already.

    Args:
        jobs: The clips whose sources are there.
        unreadable: (clip, reason) of the others.
        existing: The cache, where there is one.

    Raises:
        OSError: If a cached clip's file cannot be read now.
    """
    pending, kept = [], []
    for job in jobs:
        broken_off = None
        if existing is not None:
            broken_off = existing.read_broken_off(job.clip.clip_id, job.source_stat)
        if broken_off is None:
            pending.append(job)
        elif broken_off:
            kept.append((job.clip, broken_off))
    return Worklist(pending, len(jobs) - len(pending), kept, unreadable)


def find_jobs(clips: list[Clip], data_root: Path) -> tuple[list[Job], list[tuple[Clip, str]]]:
    """Finds the clips' sources: those that are there, and (clip, reason) of the others."""
    jobs, unreadable = [], []
    for clip in clips:
        source = data_root / clip.path
        try:
            jobs.append(Job(clip, source, read_clip_stat(source, clip)))
        except UnreadableClipError as error:
            unreadable.append((clip, str(error)))
    return jobs, unreadable
