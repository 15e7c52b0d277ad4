"""Which labels a model doubts that never saw them: out-of-fold predictions, ranked.

Clips are ranked by the normalised margin of Northcutt et al. 2021 ("Confident Learning", section
3.2): the probability of the given label minus that of the most probable other class.
"""

import csv
import dataclasses
import io
import warnings
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from lrcn.common.atomic_file import write_text
from lrcn.common.clip import Clip
from lrcn.common.manifest import read_manifest, write_manifest
from lrcn.common.run_dir import RunDir
from train_head.config import TrainConfig
from train_head.cross_validation import cross_validate
from train_head.prediction_file import Predictions, read_predictions
from train_head.training_data import TrainingData


@dataclasses.dataclass(frozen=True)
class DoubtedLabel:
    """What the model that was not trained on a clip says of its label.

    Attributes:
        clip_id: The clip.
        label: The label it has.
        predicted: The most probable class.
        label_probability: Of the label.
        predicted_probability: Of the most probable class.
        margin: The label's probability minus that of the most probable other class, in [-1, 1].
    """

    clip_id: str
    label: str
    predicted: str
    label_probability: float
    predicted_probability: float
    margin: float


def rank_labels(
    config: TrainConfig,
    data: TrainingData,
    *,
    output_dir: Path,
    num_folds: int,
    checkpoint_sec: float,
) -> list[DoubtedLabel]:
    """Trains a head for each fold on the other folds, and ranks all clips by what it says of them.

    All labelled clips take part, whatever their split: noise may be anywhere. Writes for each fold
    its splits, `fold_<i>.csv`, and an ordinary run, `fold_<i>/`; runs that have ended are not
    trained again. The last epoch is kept, as no clips are left to choose one on.

    Args:
        config: The settings of every fold; the seed draws the folds too.
        data: What the folds are trained on, but for its manifest.
        output_dir: Where the folds go, made where there is none.
        num_folds: K, at least 2.
        checkpoint_sec: Seconds between checkpoints.

    Returns:
        An element for each clip, the most doubted label first.

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        ValueError: If a class has too few groups, the folder holds folds of other clips or
            settings, or as `train_run`.
    """
    clips = read_manifest(data.cache.manifest_path)
    folds = draw_folds(clips, num_folds=num_folds, seed=config.seed)
    output_dir.mkdir(parents=True, exist_ok=True)
    manifest_paths = [output_dir / f"fold_{i + 1}.csv" for i in range(num_folds)]
    for path, fold in zip(manifest_paths, folds, strict=True):
        if not path.exists():
            write_manifest(path, fold)
        elif read_manifest(path) != fold:
            raise ValueError(
                f"{path}: made of other clips or with other --folds or --seed than this command "
                "has. Name another --output_dir, or delete this one."
            )
    cross_validate(
        config,
        data,
        manifest_paths=manifest_paths,
        output_dir=output_dir,
        checkpoint_sec=checkpoint_sec,
    )
    doubts = []
    for path in manifest_paths:
        run = RunDir(output_dir / path.stem)
        doubts += _find_doubts(read_predictions(run.predictions_path("test")))
    # A stable sort, in which equals stay in the order of the folds.
    return sorted(doubts, key=lambda doubt: doubt.margin)


def draw_folds(clips: list[Clip], *, num_folds: int, seed: int) -> list[list[Clip]]:
    """Draws K folds by group, each with its share of every class.

    Returns:
        For each fold all clips with new splits: test is the fold, which no two share, and train
        all others.

    Raises:
        ValueError: If there are fewer groups than folds, or clips of each class, or if a fold takes
            all clips of a class or none at all.
    """
    groups = [clip.source_group for clip in clips]
    if len(set(groups)) < num_folds:
        raise ValueError(
            f"Expected a group of clips for each fold. Received: {len(set(groups))} groups, "
            f"--folds={num_folds}. Lower --folds, or add clips."
        )
    labels = np.array([clip.label for clip in clips])
    largest = int(np.unique(labels, return_counts=True)[1].max())
    if largest < num_folds:
        raise ValueError(
            f"Expected a class with a clip for each fold. Received: at most {largest} clips of a "
            f"class, --folds={num_folds}. Lower --folds, or add clips."
        )
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes smaller than that, see below
        parts = list(folds.split(labels, labels, groups))
    drawn = []
    for train, test in parts:
        if not len(test):
            raise ValueError(
                f"Expected clips in every fold. Received: none in one of --folds={num_folds}, as "
                "groups are few or of very different size. Lower --folds, or take another --seed."
            )
        missing = sorted(set(labels) - set(labels[train]))
        if missing:
            raise ValueError(
                f"Expected every class in at least two folds. Received: all clips of "
                f"{', '.join(missing)} in one, so that no head that knows the class can judge "
                "them. Add clips of other groups, or take the class out."
            )
        held_out = set(test.tolist())
        drawn.append(
            [
                dataclasses.replace(clip, split="test" if i in held_out else "train")
                for i, clip in enumerate(clips)
            ]
        )
    return drawn


def write_doubts(path: Path, doubts: list[DoubtedLabel]) -> None:
    """Writes a row for each clip, ranked from 1.

    Raises:
        ValueError: If the file is there and has been changed, as by notes on the clips.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["rank", *(field.name for field in dataclasses.fields(DoubtedLabel))])
    for rank, doubt in enumerate(doubts, start=1):
        cells = dataclasses.astuple(doubt)
        writer.writerow([rank, *(f"{x:.6f}" if isinstance(x, float) else x for x in cells)])
    if path.exists() and path.read_bytes() != text.getvalue().encode():
        raise ValueError(
            f"{path}: expected no such file, or the ranking that this command writes. Received: "
            "other content, such as notes of yours, which is kept. Move it, and run the same "
            "command again: it writes the ranking without training anew."
        )
    write_text(path, text.getvalue())


def format_doubts(doubts: list[DoubtedLabel], *, num_shown: int) -> str:
    """Renders the first clips as a table for a terminal, and how many are predicted otherwise."""
    shown = doubts[:num_shown]
    width = max(len("clip"), *(len(doubt.clip_id) for doubt in shown))
    label_width = max(len("label"), *(len(doubt.label) for doubt in shown))
    lines = [f"rank  margin  {'clip':{width}}  {'label':{label_width}}       predicted"]
    for rank, doubt in enumerate(shown, start=1):
        lines.append(
            f"{rank:4}  {doubt.margin:6.3f}  {doubt.clip_id:{width}}  "
            f"{doubt.label:{label_width}} {doubt.label_probability:4.0%}  "
            f"{doubt.predicted} {doubt.predicted_probability:.0%}"
        )
    num_doubted = sum(doubt.margin < 0 for doubt in doubts)
    return "\n".join(
        [
            *lines,
            "",
            f"{num_doubted} of {len(doubts)} clips are predicted to be of another class; the more "
            "there are, the less a doubt means.",
        ]
    )


def _find_doubts(predictions: Predictions) -> list[DoubtedLabel]:
    doubts = []
    rows = zip(predictions.clip_ids, predictions.class_ids, predictions.probabilities, strict=True)
    for clip_id, class_id, probabilities in rows:
        predicted = int(probabilities.argmax())
        label_probability = float(probabilities[class_id])
        doubts.append(
            DoubtedLabel(
                clip_id,
                predictions.class_names[class_id],
                predictions.class_names[predicted],
                label_probability,
                float(probabilities[predicted]),
                label_probability - float(np.delete(probabilities, class_id).max()),
            )
        )
    return doubts
