"""The clips that go into a cache: read and split before, listed in the cache after."""

import csv
import dataclasses
import os
from collections.abc import Set
from pathlib import Path

from absl import logging

from extract_features.shared_files import join_shared_files
from lrcn.common.alike_names import warn_of_case
from lrcn.common.atomic_file import replace_csv
from lrcn.common.clip import SPLITS, Clip, check_clips, escape_control
from lrcn.common.discover import read_data
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.group_leaks import check_group_leaks, find_group_leaks, name_some
from lrcn.common.manifest import (
    find_class_ids,
    find_class_names,
    read_class_names,
    write_class_names,
    write_manifest,
)
from lrcn.common.natural_sort import natural_key
from lrcn.common.splits import count_splits, draw_splits


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which clips go into a cache, and into which splits.

    Attributes:
        data: Folder tree or manifest, see `discover.read_data`.
        data_root: Folder that a manifest's paths start from; None: what was given for the cache,
            else the manifest's own.
        group_regex: Finds the group in a clip_id; none, see `discover.read_data`, where it is
            empty, also where the cache has one.
        seed: Decides the drawn splits.
        val_fraction: Part of each class to draw for validation.
        test_fraction: Part of each class to draw for testing.
        skip_unreadable: Whether clips that cannot be read are left out.
        allow_group_leak: Whether a group may have clips in several splits.

    All but the first are remembered in the cache: None stands for what it has, else the default.
    So a second extraction without the flags neither draws other splits nor brings back what was
    left out.
    """

    data: Path
    data_root: Path | None = None
    group_regex: str | None = None
    seed: int | None = None
    val_fraction: float | None = None
    test_fraction: float | None = None
    skip_unreadable: bool | None = None
    allow_group_leak: bool | None = None

    def complete(self, existing: FeatureCache | None) -> "DataSettings":
        """Fills in what is None.

        Raises:
            ValueError: If the cache has a value that is none, as one written by hand may be.
        """
        known = _DEFAULTS | (existing.data_settings if existing is not None else {})
        left_out = {name: known[name] for name in _DEFAULTS if getattr(self, name) is None}
        for name, value in left_out.items():
            if value != _DEFAULTS[name] and not isinstance(value, _KINDS[name]):
                raise ValueError(
                    f"{existing.cache_dir / 'cache.json'}: expected another value of {name} in "
                    f"data_settings. Received: {value!r}. Correct it, or give --{name}."
                )
        if self.data.suffix.lower() != ".csv":
            left_out.pop("data_root", None)  # a folder is its own
        completed = dataclasses.replace(self, **left_out)
        return dataclasses.replace(completed, group_regex=completed.group_regex or None)

    def to_remember(self) -> dict:
        """What the cache keeps, ready for JSON."""
        root = None if self.data_root is None else os.path.abspath(self.data_root)
        return {name: getattr(self, name) for name in _DEFAULTS} | {"data_root": root}


_DEFAULTS = {
    "data_root": None,
    "group_regex": None,
    "seed": 0,
    "val_fraction": None,
    "test_fraction": 0.2,
    "skip_unreadable": False,
    "allow_group_leak": False,
}
_KINDS = {
    "data_root": str,
    "group_regex": str,
    "seed": int,
    "val_fraction": (int, float),
    "test_fraction": (int, float),
    "skip_unreadable": bool,
    "allow_group_leak": bool,
}


def read_split_clips(
    settings: DataSettings, *, paths_are_sources: bool = True
) -> tuple[list[Clip], Path]:
    """Reads the clips, each with its split, and the folder that their paths start from.

    Args:
        settings: Which clips, and how their splits are drawn.
        paths_are_sources: Whether clips of one source show the same, so that their groups are one,
            see `join_shared_files`. Of imported features the paths may be anything.

    Raises:
        ValueError: If the clips break a rule or cannot be split, or a group straddles splits that
            are given.
        OSError: If they cannot be read.
    """
    clips, data_root = read_data(
        settings.data, data_root=settings.data_root, group_regex=settings.group_regex
    )
    # Once more, for the groups that the expression found.
    check_clips(clips, places=[f"{settings.data}: clip {clip.clip_id!r}" for clip in clips])
    if paths_are_sources:
        clips = join_shared_files(clips, data_root)
    warn_of_case(find_class_names(clips))
    if not settings.allow_group_leak:
        check_group_leaks(clips, source=settings.data)
    is_drawn = any(not clip.split for clip in clips)
    try:
        clips = draw_splits(
            clips,
            seed=settings.seed,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
        )
    except ValueError as error:
        raise ValueError(f"{settings.data}: {error}") from error
    counts = count_splits(clips)
    totals = [f"{sum(c[split] for c in counts.values())} {split}" for split in SPLITS]
    logging.info("%d clips of %d classes: %s", len(clips), len(counts), ", ".join(totals))
    if is_drawn and len({clip.source_group for clip in clips}) == len(clips):
        logging.info(
            "No groups are known: splits are drawn clip by clip. Where several clips show one "
            "subject or are of one recording, scores are too good. Name it in a manifest's group "
            "column, or by --group_regex"
        )
    # Training refuses them, but hours later.
    untrained = [label for label, of_class in counts.items() if not of_class["train"]]
    if untrained:
        logging.warning(
            "Classes without train clips, with which training will not start: %s. Add clips, move "
            "some to the train split, or take the classes out",
            name_some([*map(repr, untrained)]),
        )
    if len(counts) == 1:
        logging.warning(
            "All clips are of one class, %r: training tells two or more apart, unless frames have "
            "labels. If a file says what each clip is, make a .csv manifest of it",
            clips[0].label,
        )
    leaks = find_group_leaks(clips)
    if leaks:
        logging.warning("Groups that straddle splits: %d. Scores will be too good", len(leaks))
    return clips, data_root


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


def outlives_source(cache: FeatureCache, clip: Clip, source: Path) -> bool:
    """Whether a clip without its source stays in the cache, for the features it has there.

    A source that is there, and cannot be read now, may be another than they were made of.
    """
    try:
        os.stat(source)
    except (FileNotFoundError, NotADirectoryError):
        return cache.holds(clip.clip_id, clip.span)
    except OSError:
        pass
    return False


def leave_out_clips(
    cache: FeatureCache, clips: list[Clip], clip_ids: Set[str], failures: list[tuple[Clip, str]]
) -> None:
    """Writes the list of clips anew, without those that could not be read.

    Args:
        cache: Whose list.
        clips: All clips.
        clip_ids: Those to leave out.
        failures: (clip, reason), of which the first is named where no clip is left; those of
            another shard are not known here.

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
    cache: FeatureCache, failures: list[tuple[Clip, str]], *, kept_clip_ids: Set[str] = frozenset()
) -> set[str]:
    """Writes `failures.csv`, and removes an old one if there is nothing to list.

    Args:
        cache: Where to.
        failures: (clip, reason).
        kept_clip_ids: Clips whose rows in an old file stay, being another shard's.

    Returns:
        The clip_ids that are listed now.
    """
    rows = [[clip.clip_id, clip.path, escape_control(reason)] for clip, reason in failures]
    rows += [row for row in _read_failure_rows(cache) if row[0] in kept_clip_ids]
    if rows:
        with replace_csv(cache.failures_path) as writer:
            writer.writerow(["clip_id", "path", "reason"])
            writer.writerows(sorted(rows, key=lambda row: natural_key(row[0])))
    else:
        cache.failures_path.unlink(missing_ok=True)
    return {row[0] for row in rows}


def read_failures(cache: FeatureCache) -> dict[str, str]:
    """Reads `failures.csv`: {clip_id: reason}, empty where there is none."""
    return {clip_id: reason for clip_id, _, reason in _read_failure_rows(cache)}


def _read_failure_rows(cache: FeatureCache) -> list[list[str]]:
    if not cache.failures_path.exists():
        return []
    with open(cache.failures_path, encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if row][1:]
