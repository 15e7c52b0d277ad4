"""The data that is given for a cache: which clips, read, and split."""

import dataclasses
from pathlib import Path

from absl import logging

from extract_features.shared_files import join_shared_files
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip, check_clips
from lrcn.common.clips.clip_groups import tell_of_unknown_groups
from lrcn.common.clips.discover import read_data
from lrcn.common.clips.group_leaks import check_group_leaks, find_group_leaks
from lrcn.common.clips.manifest import find_class_names
from lrcn.common.clips.splits import count_splits, describe_splits, draw_splits
from lrcn.common.files.alike_names import warn_of_alike
from lrcn.common.programs.wording import name_count, name_some


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which clips go into a cache, and into which splits.

    Attributes:
        data: Folder tree or manifest, see `discover.read_data`.
        data_root: Folder that a manifest's paths start from; None: what was given for the cache,
            else the manifest's own.
        group_regex: Finds the group in a clip_id, see `discover.read_data`. Empty stands for none,
            also where the cache has one.
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
        known = existing.data_settings if existing is not None else {}
        left_out = {}
        for name, (default, kind) in _REMEMBERED.items():
            if getattr(self, name) is not None:
                continue
            value = left_out[name] = known.get(name, default)
            if value != default and not isinstance(value, kind):
                raise ValueError(
                    f"{existing.contract_path}: expected another value of {name} in "
                    f"data_settings. Received: {value!r}. Correct it, or give --{name}."
                )
        if self.data.suffix.lower() != ".csv":
            left_out.pop("data_root", None)  # a folder is its own
        left_out["group_regex"] = left_out.get("group_regex", self.group_regex) or None
        return dataclasses.replace(self, **left_out)

    def to_remember(self) -> dict:
        """What the cache keeps, ready for JSON."""
        # With its `..` as it is: behind a link, it does not lead back to where the link lies.
        root = None if self.data_root is None else str(Path(self.data_root).absolute())
        return {name: getattr(self, name) for name in _REMEMBERED} | {"data_root": root}


# What the cache remembers: the default, and what another value is.
_REMEMBERED = {
    "data_root": (None, str),
    "group_regex": (None, str),
    "seed": (0, int),
    "val_fraction": (None, (int, float)),
    "test_fraction": (0.2, (int, float)),
    "skip_unreadable": (False, bool),
    "allow_group_leak": (False, bool),
}


@dataclasses.dataclass(frozen=True)
class GivenData:
    """What was read.

    Attributes:
        settings: Complete ones.
        clips: At least one, each with its split.
        root: The folder that their paths start from.
    """

    settings: DataSettings
    clips: list[Clip]
    root: Path


def read_given_data(
    settings: DataSettings, existing: FeatureCache | None, *, paths_are_sources: bool = True
) -> GivenData:
    """Reads the clips and gives each its split.

    Args:
        settings: Which clips, and how their splits are drawn.
        existing: The cache, which completes the settings, where there is one.
        paths_are_sources: Whether clips of one source show the same, so that their groups are one,
            see `join_shared_files`. Of imported features the paths may be anything.

    Raises:
        ValueError: If the clips break a rule or cannot be split, or a group straddles splits that
            are given.
        OSError: If they cannot be read.
    """
    settings = settings.complete(existing)
    clips, root = read_data(
        settings.data, data_root=settings.data_root, group_regex=settings.group_regex
    )
    # Once more, for the groups that the expression found.
    check_clips(clips, places=[f"{settings.data}: clip {clip.clip_id!r}" for clip in clips])
    warn_of_alike(find_class_names(clips), kind="Labels")
    # One subject written in two ways would straddle splits.
    warn_of_alike(sorted({clip.group for clip in clips}), kind="Groups")
    if paths_are_sources:
        clips = join_shared_files(clips, root)
    if not settings.allow_group_leak:
        check_group_leaks(clips, source=settings.data)
    are_drawn = any(not clip.split for clip in clips)
    try:
        clips = draw_splits(
            clips,
            seed=settings.seed,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
        )
    except ValueError as error:
        raise ValueError(f"{settings.data}: {error}") from error
    _tell_of_splits(clips, are_drawn=are_drawn)
    return GivenData(settings, clips, root)


def _tell_of_splits(clips: list[Clip], *, are_drawn: bool) -> None:
    counts = count_splits(clips)
    classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
    logging.info("%s of %s: %s", name_count(len(clips), "clip"), classes, describe_splits(clips))
    if are_drawn:
        tell_of_unknown_groups(clips, drawn="splits")
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
