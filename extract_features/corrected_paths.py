"""Clips whose path was corrected in a manifest, which their size and time need not tell."""

import filecmp
import os
from pathlib import Path

from extract_features.worklist import ClipSources
from lrcn.common.clips.clip import Clip
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.images import find_frame_files
from lrcn.common.programs.progress import Progress


def find_corrected(listed: list[Clip], clips: list[Clip], sources: ClipSources) -> set[str]:
    """Finds the clips that have another path than before, and another content there.

    Raw videos are of one size, and out of an archive of one time: after two of them were taken for
    each other, each would keep the features of the other. Where nothing is at the path before, the
    source was moved, and where the same is, it was copied.

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
        if os.path.samefile(before, now):
            return False
        pairs = [(before, now)]
        if before.is_dir() and now.is_dir():
            folders = [find_frame_files(x) for x in (before, now)]
            if len(folders[0]) != len(folders[1]):
                return True
            pairs = zip(*folders, strict=True)
        return not all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
    # Nor is a place of clips what a clip was made of.
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnreadableClipError):
        return False
    except OSError:  # nobody can tell, and to extract it is right in either case
        return True
