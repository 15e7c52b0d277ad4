"""Clips of one file, by whatever names they reach it: one group, and better of one label."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.group_leaks import join_groups


def join_shared_files(clips: Sequence[Clip], data_root: Path) -> list[Clip]:
    """Makes one group of those that share a file or folder, also where links give it other names.

    What is joined is logged, and so are clips of one file and span that have different labels.

    Args:
        clips: The clips.
        data_root: The folder that their paths start from. A source that is not there is known by
            what its path says, links resolved.

    Returns:
        The clips in the same order, with groups as `join_groups` names them.
    """
    files = _name_files(clips, data_root)
    joined = join_groups(clips, files)
    changed = [
        i for i, (old, new) in enumerate(zip(clips, joined, strict=True)) if old.group != new.group
    ]
    if changed:
        # Rather one of a file with two names, which tell why its groups are joined.
        i = next((i for i in changed if files[i] != posixpath.normpath(clips[i].path)), changed[0])
        path = clips[i].path
        logging.info(
            "Clips of files that several groups share: %d, such as %s. These groups are one",
            len(changed),
            path if files[i] == posixpath.normpath(path) else f"{path}, which is {files[i]} too",
        )
    _warn_of_labels(clips, files)
    return joined


def _name_files(clips: Sequence[Clip], data_root: Path) -> list[str]:
    """Names each clip's source: by the first, as text, of the paths in `clips` that lead to it.

    Groups and with them the drawn splits follow from these names, so they hold nothing that differs
    between machines, such as a file's number.
    """
    identities = [_identify(os.path.join(data_root, clip.path)) for clip in clips]
    name_of = {}
    for clip, identity in zip(clips, identities, strict=True):
        path = posixpath.normpath(clip.path)
        name_of[identity] = min(path, name_of.get(identity, path))
    return [name_of[identity] for identity in identities]


def _identify(source: str) -> tuple[int, int] | str:
    try:
        stat = os.stat(source)
    except OSError:
        return os.path.realpath(source)
    return stat.st_dev, stat.st_ino


def _warn_of_labels(clips: Sequence[Clip], files: Sequence[str]) -> None:
    # Other spans of a file may well have other labels.
    first_of, other_of = {}, {}
    for clip, file in zip(clips, files, strict=True):
        first = first_of.setdefault((file, clip.span), clip)
        if clip.label != first.label:
            other_of.setdefault((file, clip.span), clip)
    if not other_of:
        return
    what, other = next(iter(other_of.items()))
    first = first_of[what]
    logging.warning(
        "Files that are clips of different labels: %d, such as %s: %s is %r, %s is %r. Correct the "
        "labels, or take all but one out",
        len(other_of),
        what[0],
        first.clip_id,
        first.label,
        other.clip_id,
        other.label,
    )
