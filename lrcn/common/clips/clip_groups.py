"""The group of a clip, as its name tells it, and how many have none."""

import dataclasses
import posixpath
import re
from collections import Counter

from absl import logging

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.official_lists import find_known_group
from lrcn.common.programs.wording import name_count


def add_groups(clips: list[Clip], group_regex: str | None) -> list[Clip]:
    """Finds the group of each clip that has none; arguments and errors as `discover.read_data`."""
    try:
        pattern = None if group_regex is None else re.compile(group_regex)
    except re.error as error:
        raise ValueError(
            f"--group_regex={group_regex!r}: expected a regular expression, but: {error}. "
            "Correct it, such as 'subject([0-9]+)'."
        ) from error
    grouped = []
    for clip in clips:
        group = clip.group or (
            find_known_group(posixpath.basename(clip.clip_id), clip.label)
            if pattern is None
            else _search_group(pattern, clip.clip_id)
        )
        if not group and pattern is not None:
            raise ValueError(
                f"clip {clip.clip_id!r}: --group_regex={group_regex!r} finds no group in it. "
                "Widen the expression, or give the group in a manifest."
            )
        grouped.append(dataclasses.replace(clip, group=group))
    return grouped


def _search_group(pattern: re.Pattern, clip_id: str) -> str:
    match = pattern.search(clip_id)
    if match is None:
        return ""
    return "_".join(filter(None, match.groups())) if pattern.groups else match[0]


def tell_of_unknown_groups(clips: list[Clip], *, drawn: str) -> None:
    """Tells of clips that no group holds together, where most are such.

    Args:
        clips: Those that are drawn.
        drawn: What is drawn of them, such as `splits`.
    """
    sizes = Counter(clip.source_group for clip in clips)
    num_alone = sum(not clip.group and sizes[clip.source_group] == 1 for clip in clips)
    if 2 * num_alone > len(clips):
        logging.info(
            "No group is known of %s of %s: %s are drawn clip by clip there. Where several show "
            "one subject or are of one recording, scores are too good. Name it at extraction: in a "
            "manifest's group column, or by --group_regex",
            f"{num_alone:,}",
            name_count(len(clips), "clip"),
            drawn,
        )
