"""Clips whose path was corrected in a manifest, which their size and time need not tell."""

import filecmp
import os
from pathlib import Path

from extract_features.worklist import ClipSources
from lrcn.common.clips.clip import Clip
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.images import find_frame_files
from lrcn.common.pixels.source_stat import read_source_stat
from lrcn.common.programs.progress import Progress


def find_corrected(listed: list[Clip], clips: list[Clip], sources: ClipSources) -> set[str]:
    """Finds the clips that have another path than before, and another content of one size and time.

    Raw videos are of one size, and out of an archive of one time: after two of them were taken for
    each other, each would keep the features of the other. Where nothing is at the path before, or
    what has another time, the source was moved, and where the same is, it was copied.

    Args:
        listed: The clips that the cache lists.
        clips: The data's.
        sources: What they are made of.

    Returns:
        The clip_ids.
    """
    before = {clip.clip_id: sources.find(clip) for clip in listed}
    now = {clip.clip_id: sources.find(clip) for clip in clips}
    elsewhere = [x for x, source in now.items() if before.get(x, source) != source]
    with Progress(len(elsewhere), "clip", part="comparing with the paths before") as progress:
        return {x for x in progress.track(elsewhere) if _is_another(before[x], now[x])}


def _is_another(before: Path, now: Path) -> bool:
    try:
        # Where these differ, they tell by themselves which source the features are of.
        are_alike = read_source_stat(before) == read_source_stat(now)
        if not are_alike or os.path.samefile(before, now):
            return False
        pairs = [(before, now)]
        if now.is_dir():
            pairs = zip(find_frame_files(before), find_frame_files(now), strict=True)
        return not all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
    except UnreadableClipError:  # no clip is there, or none any more
        return False
    except OSError:  # nobody can tell, and to extract it is right in either case
        return True
