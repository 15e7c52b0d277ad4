"""Which labels a model doubts that never saw them: out-of-fold predictions, ranked.

Clips are ranked by the normalised margin of Northcutt et al. 2021 ("Confident Learning", section
3.2): the probability of the given label minus that of the most probable other class.
"""

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.atomic_file import write_text
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.programs.wording import pad_names, wrap_sentence
from train_head.run.config import TrainConfig
from train_head.run.training_data import TrainingData
from train_head.scores.held_out import read_scored_predictions
from train_head.scores.prediction_file import Predictions
from train_head.studies.cross_validation import cross_validate
from train_head.studies.folds import write_folds


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

    Each fold's splits are in `fold_<i>.csv`, see `write_folds`, and its run in `fold_<i>/`; runs
    that have ended are not trained again.

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
        RuntimeError: If a run is scored on other clips meanwhile, or as `train_run`.
        ValueError: As `write_folds` and `train_run`.
    """
    folds = write_folds(config, data.cache, output_dir=output_dir, num_folds=num_folds)
    with folds as manifest_paths:
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
        doubts += _find_doubts(read_scored_predictions(run, data.cache, split="test"))
    # A stable sort, in which equals stay in the order of the folds.
    return sorted(doubts, key=lambda doubt: doubt.margin)


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
    clip_heading, *clip_ids = pad_names(["clip", *(doubt.clip_id for doubt in shown)])
    label_heading, *labels = pad_names(["label", *(doubt.label for doubt in shown)])
    lines = [f"rank  margin  {clip_heading}  {label_heading}       predicted"]
    for rank, (doubt, clip_id, label) in enumerate(
        zip(shown, clip_ids, labels, strict=True), start=1
    ):
        lines.append(
            f"{rank:4}  {doubt.margin:6.3f}  {clip_id}  "
            f"{label} {doubt.label_probability:4.0%}  "
            f"{escape_control(doubt.predicted)} {doubt.predicted_probability:.0%}"
        )
    num_doubted = sum(doubt.margin < 0 for doubt in doubts)
    told = (
        f"{num_doubted:,} of {len(doubts):,} clips are predicted to be of another class; the more "
        "there are, the less a doubt means."
    )
    return "\n".join([*lines, "", wrap_sentence(told)])


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
