"""Draws train, val and test by group, so that no subject or source video straddles them."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

from absl import logging

from lrcn.common.clips.clip import SPLITS, Clip
from lrcn.common.clips.group_leaks import part_leaking_groups
from lrcn.common.clips.manifest import find_class_names
from lrcn.common.programs.wording import name_some

# Where a class has too few groups for all splits, the first of these get one.
_SPLITS_BY_NEED = ("train", "test", "val")
_DEFAULT_VAL_FRACTION = 0.15


def draw_splits(
    clips: Sequence[Clip],
    *,
    seed: int,
    val_fraction: float | None = None,
    test_fraction: float = 0.2,
) -> list[Clip]:
    """Draws the splits that are not given; given ones stay.

    A group goes where the one given split of its clips is, else whole into one split. Groups come
    in the order of a hash of seed and name, so that the draw depends neither on the order of the
    clips nor much on clips that are added later. A group goes to test, or else val, if that brings
    its classes closer to their fractions, and to train if not. Then each class that lacks a split
    takes one of its groups for it, as far as they go: train first, then test, then val. For test,
    others move in exchange where no group is free.

    Where every split is given but none is val, val is drawn from the train clips, and this is
    logged. It takes a `val_fraction` if there are test clips: benchmarks give train and test, and
    their results compare if all train clips are trained on. Test is never drawn from clips that
    are given as train.

    Groups that share a file are for `join_groups` to make one of, before.

    Groups that straddle splits are for `check_group_leaks` to refuse. Where they are allowed, their
    given splits stay, and the clips of one split are drawn as a group of their own.

    Args:
        clips: The clips, of which the given splits count towards the fractions.
        seed: Any integer.
        val_fraction: Part of each class's clips to hold out for validation, in [0, 1). None: 0.15,
            or 0 where every split is given and test is among them.
        test_fraction: Part of each class's clips to hold out for testing, in [0, 1).

    Returns:
        The clips in the same order, each with a split.

    Raises:
        ValueError: If the fractions are out of range, or a class cannot have clips both in train
            and, with a `test_fraction`, in test.
    """
    given = {clip.split for clip in clips}
    if val_fraction is None:
        is_benchmark = "test" in given and "" not in given
        val_fraction = 0.0 if is_benchmark else _DEFAULT_VAL_FRACTION
    if val_fraction < 0 or test_fraction < 0 or not val_fraction + test_fraction < 1:
        raise ValueError(
            "expected val_fraction and test_fraction of at least 0 and together below 1, received "
            f"val_fraction={val_fraction}, test_fraction={test_fraction}. Correct them."
        )
    undrawn, clips = clips, part_leaking_groups(clips)
    if "" not in given:
        if "val" in given or "train" not in given or val_fraction == 0:
            return list(undrawn)
        logging.info(
            "No clip is given as val: drawing val from train (val_fraction=%g).", val_fraction
        )
        clips = [
            dataclasses.replace(clip, split="" if clip.split == "train" else clip.split)
            for clip in clips
        ]
        test_fraction = 0.0
    draw = _Draw(clips, {"test": test_fraction, "val": val_fraction})
    draw.fill(seed)
    draw.cover_classes()
    return [
        dataclasses.replace(clip, split=draw.split_of[part.source_group])
        for clip, part in zip(undrawn, clips, strict=True)
    ]


def count_splits(clips: Iterable[Clip]) -> dict[str, dict[str, int]]:
    """Returns the number of clips as {label: {split: count}}.

    Labels come in natural order, splits in that of `SPLITS`; clips without a split do not count.
    """
    clips = list(clips)
    counts = collections.Counter((clip.label, clip.split) for clip in clips)
    return {
        label: {split: counts[label, split] for split in SPLITS}
        for label in find_class_names(clips)
    }


def describe_splits(clips: Iterable[Clip]) -> str:
    """Says how many clips are in each split."""
    counts = collections.Counter(clip.split for clip in clips)
    return ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)


class _Draw:
    """The state of one draw.

    Attributes:
        split_of: The split of each group that has one by now.
    """

    def __init__(self, clips: Sequence[Clip], fractions: dict[str, float]):
        self.split_of: dict[str, str] = {}
        self._fractions = fractions
        self._class_totals = collections.Counter(clip.label for clip in clips)
        self._group_counts = collections.defaultdict(collections.Counter)  # [group][label]
        self._split_counts = collections.Counter()  # [label, split]
        for clip in clips:
            self._group_counts[clip.source_group][clip.label] += 1
        for clip in clips:
            if clip.split:
                self._assign(clip.source_group, clip.split)
        self._drawn: list[str] = []  # Groups without a given split, in the order of the draw.

    def fill(self, seed: int) -> None:
        """Gives every group a split, each class as close to its fractions as the groups allow."""

        def rank(group: str) -> bytes:
            return hashlib.sha256(f"{seed}:{group}".encode()).digest()

        self._drawn = sorted(self._group_counts.keys() - self.split_of.keys(), key=rank)
        for group in self._drawn:
            better = [split for split in self._fractions if self._gain(group, split) > 0]
            self._assign(group, better[0] if better else "train")

    def cover_classes(self) -> None:
        """Moves groups so that every drawn class has clips in every split, as far as they go."""
        groups_of = collections.defaultdict(list)  # [label], drawn groups only
        for group in self._drawn:
            for label in self._group_counts[group]:
                groups_of[label].append(group)
        wanted = [split for split in _SPLITS_BY_NEED if self._fractions.get(split, 1) > 0]
        for split in wanted:
            for label in sorted(groups_of):
                if not self._split_counts[label, split]:
                    self._cover(label, split, groups_of[label])
                if split == "test" and not self._split_counts[label, split]:
                    self._exchange(label, split, groups_of, set())
        for split in wanted:
            bare = [label for label in sorted(groups_of) if not self._split_counts[label, split]]
            if bare and split == "val":
                logging.warning(
                    "Classes with too few groups for val clips: %s. These do not help to choose "
                    "the epoch. Add clips of other groups, or give the splits in the manifest",
                    name_some([*map(repr, bare)]),
                )
            elif bare:
                self._refuse(bare[0], split, groups_of[bare[0]])

    def _gain(self, group: str, split: str) -> float:
        """How many clips closer to the fraction of `split` the group brings its classes."""
        gain = 0.0
        for label, count in self._group_counts[group].items():
            target = self._fractions[split] * self._class_totals[label]
            lack = target - self._split_counts[label, split]
            gain += abs(lack) - abs(lack - count)
        return gain

    def _cover(self, label: str, split: str, groups: list[str]) -> None:
        """Moves the least group into `split` that is not needed where it is."""
        candidates = []
        for group in groups:
            old = self.split_of[group]
            counts = self._group_counts[group]
            empties = any(self._split_counts[name, old] == counts[name] for name in counts)
            # What a move empties must be a split whose turn to be covered is still to come.
            if not empties or _SPLITS_BY_NEED.index(old) > _SPLITS_BY_NEED.index(split):
                candidates.append((empties, counts.total(), group))
        if candidates:
            # min() keeps the first of equals, which is the first of the draw.
            self._assign(min(candidates, key=lambda candidate: candidate[:2])[2], split)

    def _exchange(
        self, label: str, split: str, groups_of: dict[str, list[str]], tried: set[str]
    ) -> bool:
        """Moves a group into `split`, and others to where that leaves a class without any.

        Each group is tried once, so what could be drawn is not always found; returns whether it is.
        """
        if self._split_counts[label, split]:  # by what came in exchange for another class
            return True
        for group in groups_of[label]:
            old = self.split_of[group]
            if group in tried:
                continue
            tried.add(group)
            before = dict(self.split_of)
            self._assign(group, split)
            bare = [x for x in sorted(self._group_counts[group]) if not self._split_counts[x, old]]
            if old == "val" or all(self._exchange(x, old, groups_of, tried) for x in bare):
                return True
            for moved in tried:
                self._assign(moved, before[moved])
        return False

    def _assign(self, group: str, split: str) -> None:
        old = self.split_of.get(group)
        for label, count in self._group_counts[group].items():
            self._split_counts[label, split] += count
            if old is not None:
                self._split_counts[label, old] -= count
        self.split_of[group] = split

    def _refuse(self, label: str, split: str, groups: list[str]) -> None:
        count = sum(self._group_counts[group][label] for group in groups)
        if count == 1:
            problem = f"one clip ({groups[0]!r}) to draw, which"
        elif len(groups) == 1:
            problem = f"one group ({groups[0]!r}, {count} clips) to draw, which"
        else:
            names = name_some([*map(repr, groups)])
            problem = f"groups that other classes need elsewhere ({names}), so that it"
        raise ValueError(
            f"class {label!r}: no clip for {split}. It has {problem} cannot be both trained on and "
            "tested. Add clips of other groups, give the splits in the manifest, or draw no test "
            "split: --test_fraction=0 (with make: make features FLAGS=--test_fraction=0)."
        )
