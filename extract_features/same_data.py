"""Whether a cache was made of the data that is given: by names, and where it moved by content."""

from collections.abc import Mapping
from pathlib import Path

from lrcn.common.clip import Clip, SourceStat
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.manifest import find_class_ids, read_class_names, read_manifest


def check_same_data(existing: FeatureCache, clips: list[Clip]) -> None:
    """Checks that the cache was made for these clips, or for some of them, and these classes.

    Raises:
        ValueError: If it shares no clip with them, or does not know a label.
    """
    if not existing.manifest_path.exists():
        return
    known = {clip.clip_id for clip in read_manifest(existing.manifest_path)}
    if known.isdisjoint(clip.clip_id for clip in clips):
        raise ValueError(
            f"{existing.cache_dir}: holds other data ({existing.data_root}; none of its clips is "
            "in --data). Name another --cache_dir (with make: CACHE=...)."
        )
    if existing.classes_path.exists():
        find_class_ids(clips, read_class_names(existing.classes_path), where=existing.classes_path)


def check_moved_data(
    existing: FeatureCache,
    clips: list[Clip],
    sources: Mapping[str, SourceStat],
    *,
    was: str,
    now: Path,
) -> None:
    """Checks that data in another place is what the cache was made of, not of the same names alone.

    Data that was moved, and of which some clips were changed since, is taken.

    Args:
        existing: The cache.
        clips: The data's clips.
        sources: The state of each clip's source, by clip_id, where there is one.
        was: Where the data was.
        now: Where it is.

    Raises:
        ValueError: If the sources of more than half of the cached clips are others.
    """
    cached = [clip.clip_id for clip in clips if existing.clip_path(clip.clip_id).exists()]
    changed = [x for x in cached if x not in sources or not existing.is_current(x, sources[x])]
    if 2 * len(changed) > len(cached):
        raise ValueError(
            f"{existing.cache_dir}: holds features of {was}. Expected the same clips in {now}. "
            f"Received: {len(changed)} of {len(cached)} that are missing or have other content or "
            f"times, such as {changed[0]}. Name the folder that the clips are in, or another "
            "--cache_dir (with make: CACHE=...), or remove this one if it is the same data, copied "
            "without its times."
        )
