"""Folds of the clips of a cache: each clip is held out once, its whole group with it."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.clip_groups import tell_of_unknown_groups
from lrcn.common.clips.manifest import read_manifest, write_manifests
from lrcn.common.files.made_folders import find_missing, remove_empty
from lrcn.common.programs.wording import name_count, name_some
from train_head.run.config import TrainConfig
from train_head.run.run_clips import forget_paths
from train_head.run.run_lock import lock_run


@contextlib.contextmanager
def write_folds(
    config: TrainConfig, cache: FeatureCache, *, output_dir: Path, num_folds: int
) -> Iterator[list[Path]]:
    """Draws folds and writes the splits of each, `fold_<i>.csv`: what is there already stays.

    All clips take part, whatever their split. None is val, so each head keeps its last epoch. What
    a block that ends before any fold has a run wrote goes again: it would refuse other folds.

    Args:
        config: Its seed draws the folds; with labels of frames, classes of clips do not count.
        cache: The clips.
        output_dir: Where the manifests go, made where there is none.
        num_folds: K, at least 2.

    Yields:
        The manifests.

    Raises:
        FileNotFoundError: If the cache has no list of clips yet.
        RuntimeError: If another process writes folds there.
        ValueError: As `draw_folds`, or if the folder holds folds of other clips or another seed.
    """
    cache.check_listed()
    clips = read_manifest(cache.manifest_path)
    by_class = config.labels == "clip"
    folds = draw_folds(clips, num_folds=num_folds, seed=config.seed, by_class=by_class)
    tell_of_unknown_groups(clips, drawn="folds")
    fold_of = {output_dir / f"fold_{i + 1}.csv": fold for i, fold in enumerate(folds)}
    missing = {}
    made = find_missing(output_dir)
    # Of two that begin at once, each would find none, and write its own over the other's.
    with lock_run(RunDir(output_dir)):
        for path, fold in fold_of.items():
            if not path.exists():
                missing[path] = fold
            elif forget_paths(read_manifest(path)) != forget_paths(fold):
                raise ValueError(
                    f"{path}: made of other clips, labels or groups, or with other --folds or "
                    "--seed, than this command has. Name another --output_dir, or delete this one."
                )
        # At once, so that some of them, after a kill, are not taken for all.
        write_manifests(missing)
    try:
        yield list(fold_of)
    except BaseException:
        if not any((output_dir / path.stem).exists() for path in fold_of):
            for path in missing:
                path.unlink(missing_ok=True)
            remove_empty(made)
        raise


def draw_folds(
    clips: list[Clip], *, num_folds: int, seed: int, by_class: bool = True
) -> list[list[Clip]]:
    """Draws K folds by group, each with its share of every class unless labels do not count.

    Of K groups each is a fold.

    Returns:
        For each fold all clips with new splits: test is the fold, which no two share, and train
        all others.

    Raises:
        ValueError: If there are fewer groups than folds, or clips of each class, or if a fold takes
            all clips of a class.
    """
    groups = [clip.source_group for clip in clips]
    num_groups = len(set(groups))
    if num_groups < num_folds:
        raise ValueError(
            f"Expected a group of clips for each fold. Received: "
            f"{name_count(num_groups, 'group')}, --folds={num_folds}. Lower --folds, or add clips."
        )
    labels = np.array([clip.label if by_class else "" for clip in clips])
    if num_groups == num_folds:
        splitter = LeaveOneGroupOut()
    else:
        _check_class_sizes(labels, num_folds)
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes smaller than that, see below
        parts = list(splitter.split(labels, labels, groups))
    drawn = []
    for train, test in parts:
        missing = sorted(set(labels) - set(labels[train]))
        if missing:
            raise ValueError(
                f"Expected every class in at least two folds. Received: all clips of "
                f"{name_some(missing)} in one, so that no head that knows the class can judge "
                "them. Where they are of several groups, take more --folds or another --seed; else "
                "add clips of other groups, or take the class out."
            )
        held_out = set(test.tolist())
        drawn.append(
            [
                dataclasses.replace(clip, split="test" if i in held_out else "train")
                for i, clip in enumerate(clips)
            ]
        )
    return drawn


def _check_class_sizes(labels: np.ndarray, num_folds: int) -> None:
    largest = int(np.unique(labels, return_counts=True)[1].max())
    if largest < num_folds:
        raise ValueError(
            f"Expected a class with a clip for each fold. Received: at most "
            f"{name_count(largest, 'clip')} of a class, --folds={num_folds}. Lower --folds, or add "
            "clips."
        )
