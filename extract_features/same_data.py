"""Whether data is where its paths say, and what a cache was made of: by names and by content."""

import os
from pathlib import Path

from absl import logging

from extract_features.given_data import GivenData
from extract_features.worklist import ClipSources, find_work
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import find_class_ids, read_class_names, read_manifest
from lrcn.common.files.alike_names import find_alike_path


def check_same_data(existing: FeatureCache | None, clips: list[Clip]) -> list[Clip]:
    """Checks that the cache was made for these clips, or for some of them, and these classes.

    Returns:
        The clips that the cache lists, none where it was stopped before it had a list, or there is
        no cache.

    Raises:
        ValueError: If it shares no clip with them, or does not know a label.
    """
    if existing is None or not existing.manifest_path.exists():
        return []
    listed = read_manifest(existing.manifest_path)
    if {clip.clip_id for clip in listed}.isdisjoint(clip.clip_id for clip in clips):
        # As where --data was wrong at first, and no clip could be read.
        is_empty = not any(existing.clip_path(clip.clip_id).exists() for clip in listed)
        raise ValueError(
            f"{existing.cache_dir}: holds other data ({existing.data_root}; none of its clips is "
            "in --data). Name another --cache_dir (with make: CACHE=...)"
            f"{', or remove this one, which has no features' if is_empty else ''}."
        )
    if existing.classes_path.exists():
        find_class_ids(clips, read_class_names(existing.classes_path), where=existing.classes_path)
    return listed


def warn_of_changes(listed: list[Clip], clips: list[Clip], *, where: Path) -> None:
    """Warns of what a cache's list of clips says otherwise than the data, and is to lose.

    Clips may be missing since a disk is not there, and labels may have been corrected in the list.

    Args:
        listed: The clips that the cache lists.
        clips: The data's.
        where: The file that has the list.
    """
    now = {clip.clip_id: clip for clip in clips}
    kept = [clip for clip in listed if clip.clip_id in now]
    for what, changed in (
        ("not in --data any more", [x for x in listed if x.clip_id not in now]),
        ("of another label in --data", [x for x in kept if x.label != now[x.clip_id].label]),
        ("in another split now", [x for x in kept if x.split != now[x.clip_id].split]),
    ):
        if changed:
            logging.warning(
                "%s: clips that are %s: %d, such as %s",
                where,
                what,
                len(changed),
                changed[0].clip_id,
            )


def check_data_root(data: GivenData, existing: FeatureCache | None) -> None:
    """Checks that a manifest's paths lead somewhere, before anything is paid for them.

    One that is there will do, even a link to nothing: the others are failures of their own. And
    features that are cached stay usable without their sources.

    Args:
        data: The data.
        existing: The cache, where there is one.

    Raises:
        ValueError: If no source is there, nor the features of any clip.
    """
    clips, source = data.clips, data.settings.data
    if any(_is_there(data.root / clip.path) for clip in clips):
        return
    if existing is not None and any(existing.clip_path(x.clip_id).exists() for x in clips):
        return
    first = clips[0].path
    alike = find_alike_path(os.path.join(data.root, first))
    raise ValueError(
        f"{source}: expected paths of clips below {data.root}. Received: {len(clips):,}, of which "
        f"none is there, such as {first}. "
        + (
            "Name the folder that they start from with --data_root."
            if alike is None
            else f"There is one that looks like it, {os.path.relpath(alike, data.root)!a} and not "
            f"{first!a}. Write the names as they are on disk."
        )
    )


def _is_there(source: Path) -> bool:
    try:
        os.lstat(source)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a folder that may not be looked into, which is said of each clip
        pass
    return True


def check_moved_data(
    existing: FeatureCache, clips: list[Clip], sources: ClipSources, *, was: str, now: Path
) -> None:
    """Checks that data in another place is what the cache was made of, not of the same names alone.

    Data that was moved, and of which some clips were changed since, is taken.

    Args:
        existing: The cache.
        clips: The data's clips.
        sources: What they are made of now.
        was: Where the data was.
        now: Where it is.

    Raises:
        ValueError: If the sources of more than half of the cached clips are others.
    """
    cached = [clip for clip in clips if existing.clip_path(clip.clip_id).exists()]
    changed = find_work(cached, sources, existing).undone
    if 2 * len(changed) > len(cached):
        raise ValueError(
            f"{existing.cache_dir}: holds features of {was}. Expected the same clips in "
            f"{now.absolute()}. Received: {len(changed):,} of {len(cached):,} that are missing or "
            f"have other content or times, such as {changed[0].clip_id}. Name the folder that the "
            "clips are in, or another --cache_dir (with make: CACHE=...), or remove this one if it "
            "is the same data, copied without its times."
        )
