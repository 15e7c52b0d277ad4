"""One recipe on several splits of the clips of one cache, and the mean of its scores."""

import dataclasses
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import logging

from lrcn.common.cache.run_dir import RunDir, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.files.atomic_file import list_final_names
from lrcn.common.files.natural_sort import natural_key
from train_head.labels.frame_labels import format_frame_labels
from train_head.run.config import TrainConfig
from train_head.run.run_clips import check_unchanged, forget_paths, read_run_clips
from train_head.run.training_data import TrainingData
from train_head.scores.held_out import find_held_out, score_run
from train_head.scores.score_table import OVERLAPS
from train_head.training.run_start import check_run, read_checked_labels
from train_head.training.train import train_run

_AVERAGED = {
    "clip": ("top1", "top5", "mean_class_accuracy"),
    "frame": ("frame_accuracy", "mean_class_accuracy", "mean_average_precision", *OVERLAPS),
}


def find_manifests(named: Sequence[str]) -> list[Path]:
    """Finds the manifests that are named; a folder stands for the .csv files in it.

    Raises:
        FileNotFoundError: If one of those in a folder was begun and is not written.
        ValueError: If a folder has none.
    """
    paths = []
    for name in named:
        paths += _list_manifests(name) if name and Path(name).is_dir() else [Path(name)]
    return paths


def _list_manifests(folder: str) -> list[Path]:
    found = [Path(folder) / name for name in list_final_names(Path(folder))]
    found = [path for path in found if path.suffix.lower() == ".csv"]
    if not found:
        raise ValueError(
            f"--manifests: {folder}: expected .csv files in this folder. Received: none. Name "
            "another, or the manifests themselves."
        )
    unwritten = sorted(path for path in found if not os.path.lexists(path))
    if unwritten:
        raise FileNotFoundError(
            f"{unwritten[0]}: expected a manifest. Received: a hidden file of its name and .tmp, "
            "as the command that writes it was stopped. Run that command again, or delete the "
            "hidden file if these manifests are all without it."
        )
    return sorted(found, key=lambda path: natural_key(path.name))


def cross_validate(
    config: TrainConfig,
    data: TrainingData,
    *,
    manifest_paths: list[Path],
    output_dir: Path,
    checkpoint_sec: float,
) -> dict:
    """Trains and scores a run for each manifest, in the folder of its name.

    What is trained and scored already is not done again, and a run that was cut off goes on.

    Args:
        config: The settings of every run.
        data: What every run is trained on, but for its manifest.
        manifest_paths: Manifests with the splits; their names, without `.csv`, must differ.
        output_dir: Where the runs and `cross_validation.json` go, made where there is none.
        checkpoint_sec: Seconds between checkpoints.

    Returns:
        The content of `cross_validation.json`: `runs`, the `name` and the content of
        `metrics.json` of each, and `mean` and `std` (the sample's standard deviation, None of one
        run) of the scores that are averaged, each split weighing the same.

    Raises:
        ValueError: If two manifests have one name, one has nothing to be scored on, only some have
            test clips, or splits or labels change before the last run starts. Errors of
            `read_run_clips`, `train_run` and `evaluate_run` pass through.
    """
    names = [path.stem for path in manifest_paths]
    if not names or not all(names):
        raise ValueError("--manifests: expected .csv files, separated by commas. Received: none.")
    if len(set(names)) < len(names):
        raise ValueError(
            f"Expected manifests of different names, since a run is called after its own. "
            f"Received: {', '.join(names)}. Rename or remove one."
        )
    folds = [dataclasses.replace(data, manifest_path=path) for path in manifest_paths]
    runs = [RunDir(output_dir / name) for name in names]
    # A bad one is named before hours are spent on others.
    for fold, run in zip(folds, runs, strict=True):
        check_run(run, config=config, data=fold)
    read = [_read_fold(config, fold, run) for fold, run in zip(folds, runs, strict=True)]
    _check_held_out(dict(zip(manifest_paths, (clips for clips, _ in read), strict=True)))
    scored = []
    for name, fold, run, before in zip(names, folds, runs, read, strict=True):
        logging.info("%s (%d of %d)", name, len(scored) + 1, len(names))
        check_unchanged(before, _read_fold(config, fold, run), where=fold.listed_in)
        train_run(config, fold, run=run, checkpoint_sec=checkpoint_sec)
        scored.append(score_run(run, data.cache))
    values = {score: [scores[score] for scores in scored] for score in _AVERAGED[config.labels]}
    content = {
        "runs": [{"name": name, **scores} for name, scores in zip(names, scored, strict=True)],
        "mean": {score: statistics.fmean(x) for score, x in values.items()},
        "std": {score: statistics.stdev(x) if len(x) > 1 else None for score, x in values.items()},
    }
    write_json(output_dir / "cross_validation.json", content)
    return content


def _read_fold(config: TrainConfig, fold: TrainingData, run: RunDir) -> tuple[list[Clip], str]:
    """Reads the clips of a fold, wherever their sources are, and, of a run to come, its labels of
    frames.
    """
    clips, frame_labels = read_run_clips(fold), ""
    goes_on = run.config_path.exists()  # and has its own
    if config.labels == "frame" and (fold.frame_labels_path is not None or not goes_on):
        frame_labels = format_frame_labels(read_checked_labels(config, fold, clips))
    return forget_paths(clips), frame_labels


def _check_held_out(clips_of: Mapping[Path, list[Clip]]) -> None:
    """Checks that every manifest's run can be scored, all of them on clips of one split."""
    with_test, without_test = [], []
    for manifest_path, clips in clips_of.items():
        split = find_held_out(clips)
        if split is None:
            raise ValueError(
                f"{manifest_path}: expected test clips (or else val clips) to score. "
                "Received: train clips only. Add some."
            )
        (with_test if split == "test" else without_test).append(str(manifest_path))
    if with_test and without_test:
        raise ValueError(
            f"{without_test[0]}: expected test clips, as {with_test[0]} has. Received: val clips "
            "alone, whose scores chose the epoch and do not mix with those of test clips. Add test "
            "clips to it, or leave it out."
        )
    if without_test:
        logging.warning("No test clips: the scores are of the val clips that chose the epochs.")
