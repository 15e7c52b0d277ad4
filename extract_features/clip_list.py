"""What a cache lists: the clips that it is meant to hold, and those that failed."""

from collections.abc import Set

from absl import logging

from lrcn.common.cache.failure_list import COLUMNS, Failure, read_failure_rows
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import (
    find_class_ids,
    find_class_names,
    read_class_names,
    write_class_names,
    write_manifest,
)
from lrcn.common.clips.splits import count_splits
from lrcn.common.files.atomic_file import replace_csv
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.wording import name_some


def write_clip_list(cache: FeatureCache, clips: list[Clip]) -> None:
    """Writes the cache's `manifest.csv`, and `classes.txt` where there is none.

    Raises:
        ValueError: If a label is not in an existing `classes.txt`.
    """
    if cache.classes_path.exists():
        find_class_ids(clips, read_class_names(cache.classes_path), where=cache.classes_path)
    else:
        write_class_names(cache.classes_path, find_class_names(clips))
    write_manifest(cache.manifest_path, clips)


def leave_out_clips(
    cache: FeatureCache, clips: list[Clip], clip_ids: Set[str], failures: list[Failure]
) -> None:
    """Writes the list of clips anew, without those that could not be read.

    Args:
        cache: Whose list.
        clips: All clips.
        clip_ids: Those to leave out.
        failures: Why, of which the first is named where no clip is left; those of another shard
            are not known here.

    Raises:
        ValueError: If none is left. The list stays as it is.
    """
    kept = [clip for clip in clips if clip.clip_id not in clip_ids]
    if not kept:
        first = "".join(f", such as {clip.clip_id}: {reason}" for clip, reason in failures[:1])
        raise ValueError(
            f"{cache.cache_dir}: expected a clip that can be read. Received {len(clips)} that "
            f"cannot{first}\nMend them, or name the folder that they are in. "
            f"{cache.failures_path} lists them all."
        )
    write_clip_list(cache, kept)
    left = count_splits(kept)
    lacking = [
        f"{label!r} ({split})"
        for label, of_class in count_splits(clips).items()
        for split, count in of_class.items()
        if count and not left.get(label, {}).get(split)
    ]
    if lacking:
        logging.warning(
            "Without the clips that are left out, classes have no clip of a split: %s. Mend some "
            "of these clips, or give or draw other splits (--seed)",
            name_some(lacking),
        )


def write_failures(
    cache: FeatureCache, failures: list[Failure], *, kept_clip_ids: Set[str]
) -> set[str]:
    """Writes `failures.csv`, and removes an old one if there is nothing to list.

    Args:
        cache: Where to.
        failures: What to list.
        kept_clip_ids: Clips whose rows in an old file stay, being another shard's.

    Returns:
        The clip_ids that are listed now.
    """
    rows = [[clip.clip_id, clip.path, escape_control(reason)] for clip, reason in failures]
    if kept_clip_ids:
        rows += [x for x in read_failure_rows(cache.failures_path) if x[0] in kept_clip_ids]
    if rows:
        with replace_csv(cache.failures_path) as writer:
            writer.writerow(COLUMNS)
            writer.writerows(sorted(rows, key=lambda row: natural_key(row[0])))
    else:
        cache.failures_path.unlink(missing_ok=True)
    return {row[0] for row in rows}


def read_failures(cache: FeatureCache) -> dict[str, str]:
    """Reads `failures.csv`: {clip_id: reason}, empty where there is none."""
    return {clip_id: reason for clip_id, _, reason in read_failure_rows(cache.failures_path)}
