"""Groups: joined by the files they share; found and refused, or taken apart, across splits."""

import collections
import dataclasses
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from lrcn.common.clips.clip import SPLITS, Clip
from lrcn.common.clips.manifest import find_lines
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.wording import name_some

_NAMED_LEAKS = 5


def join_groups(clips: Sequence[Clip], files: Sequence[str] | None = None) -> list[Clip]:
    """Makes one group of those that share a file, called after the first such file.

    Spans of one file show the same scene and may overlap, whatever groups they are given. A clip
    without a group joins those of its file. What shares no file stays as it is.

    Args:
        clips: The clips.
        files: For each clip the name of its file, one for all clips of it. None: what the clips'
            paths say, which do not tell a link from what it leads to.

    Returns:
        The clips in the same order.
    """
    if files is None:
        files = [posixpath.normpath(clip.path) for clip in clips]
    groups_of = collections.defaultdict(set)  # [file]
    for clip, file in zip(clips, files, strict=True):
        groups_of[file].add(clip.source_group)
    shared = {file: groups for file, groups in groups_of.items() if len(groups) > 1}
    parent: dict[str, str] = {}

    def find_root(group: str) -> str:
        while group in parent:
            group = parent[group]
        return group

    for groups in shared.values():
        first, *others = map(find_root, groups)
        parent.update((root, first) for root in others if root != first)
    name_of: dict[str, str] = {}
    for file in sorted(shared):
        name_of.setdefault(find_root(next(iter(shared[file]))), file)
    return [
        dataclasses.replace(clip, group=name_of.get(find_root(clip.source_group), clip.group))
        for clip in clips
    ]


def find_group_leaks(clips: Iterable[Clip]) -> dict[str, dict[str, list[str]]]:
    """Finds the groups that have clips in two splits; clips without a split do not count.

    Clips without a group count as one group if they are spans of the same file.

    Returns:
        {group: {split: clip_ids}} in natural order of the groups.
    """
    clip_ids = collections.defaultdict(dict)
    for clip in clips:
        if clip.split:
            clip_ids[clip.source_group].setdefault(clip.split, []).append(clip.clip_id)
    leaks = {group: splits for group, splits in clip_ids.items() if len(splits) > 1}
    return {group: leaks[group] for group in sorted(leaks, key=natural_key)}


def check_group_leaks(clips: Iterable[Clip], *, source: Path) -> None:
    """Checks that no group has clips in two splits, see `find_group_leaks`.

    Args:
        clips: The clips.
        source: Where they come from; of a manifest, the error names the lines.

    Raises:
        ValueError: If a group straddles splits.
    """
    leaks = find_group_leaks(clips)
    if leaks:
        lines = find_lines(source) if source.is_file() else {}
        named = [_describe_leak(group, leaks[group], lines) for group in list(leaks)[:_NAMED_LEAKS]]
        if len(leaks) > len(named):
            named.append(f"{len(leaks) - len(named)} more")
        raise ValueError(
            f"{source}: expected every group in one split, received {len(leaks)} in several:\n  "
            + "\n  ".join(named)
            + "\nGive each group's clips the same split (at extraction also none: it is drawn), or "
            "correct the groups (the manifest's group column, --group_regex). Groups that share a "
            "file are one, called after the file (where links give it several names, after the "
            "first). If all of this is meant, extract (or import) with --allow_group_leak; scores "
            "will then be better than they should (with make: make features FLAGS=..., for both "
            "flags)."
        )


def part_leaking_groups(clips: Sequence[Clip]) -> list[Clip]:
    """Makes of each group that straddles splits a group in each of them."""
    leaks = find_group_leaks(clips)
    return [
        dataclasses.replace(clip, group=f"{clip.source_group}:{clip.split}")
        if clip.source_group in leaks
        else clip
        for clip in clips
    ]


def _describe_leak(group: str, splits: dict[str, list[str]], lines: dict[str, int]) -> str:
    parts = []
    for split in filter(splits.get, SPLITS):
        names = [
            f"line {lines[clip_id]} {clip_id!r}" if clip_id in lines else repr(clip_id)
            for clip_id in splits[split]
        ]
        parts.append(f"{split}: {name_some(names, limit=2)}")
    return f"{group!r} ({'; '.join(parts)})"
