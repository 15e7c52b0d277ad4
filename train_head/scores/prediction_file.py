"""`predictions.csv`: what a run says of each clip of a split."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lrcn.common.cache.run_dir import RunDir
from train_head.run.run_clips import take_split
from train_head.scores.class_columns import find_column_classes, name_columns

_COLUMNS = ["clip_id", "label", "predicted"]
# A sum may be so far from 1, also where somebody left two decimals of many classes.
_ROUNDING = 0.05
_SHOWN_PROBABILITIES = 5


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The predictions for N clips.

    Attributes:
        clip_ids: N names.
        labels: The N true classes.
        class_names: The K names.
        probabilities: [N, K] float, rows sum to 1.
    """

    clip_ids: list[str]
    labels: list[str]
    class_names: list[str]
    probabilities: np.ndarray

    @property
    def class_ids(self) -> np.ndarray:
        """[N] int64, the true classes."""
        id_of = {name: k for k, name in enumerate(self.class_names)}
        return np.array([id_of[label] for label in self.labels], np.int64)

    @property
    def is_right(self) -> np.ndarray:
        """[N] bool, whether the most probable class is the true one."""
        return self.probabilities.argmax(axis=1) == self.class_ids


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Writes a row for each clip: its label, the class predicted, and every class's probability."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *name_columns(predictions.class_names)])
        rows = zip(predictions.clip_ids, predictions.labels, predictions.probabilities, strict=True)
        for clip_id, label, row in rows:
            predicted = predictions.class_names[int(row.argmax())]
            writer.writerow([clip_id, label, predicted, *format_probabilities(row)])


def format_probabilities(row: np.ndarray) -> list[str]:
    """Returns the cells of a row of probabilities, [K] float32.

    Nine digits give every value back, and so the same answers and scores.
    """
    return [f"{probability:.9g}" for probability in row]


def check_probabilities(probabilities: np.ndarray, *, of_clip: str = "") -> None:
    """Checks the rows of a table, [N, K] float: a spreadsheet may have taken 0.478 for 478.

    Raises:
        ValueError: If one does not add up to 1; `of_clip` follows its number.
    """
    is_whole = np.abs(probabilities.sum(axis=1) - 1) < _ROUNDING
    is_whole &= (probabilities >= 0).all(axis=1)
    if not is_whole.all():
        row = int(is_whole.argmin())
        shown = ", ".join(f"{x:g}" for x in probabilities[row, :_SHOWN_PROBABILITIES])
        raise ValueError(
            f"{shown} as probabilities of row {row + 1}{of_clip}, which do not add up to 1"
        )


def check_predicted(
    probabilities: np.ndarray,
    predicted: Sequence[str],
    class_names: list[str],
    *,
    of_clip: str = "",
) -> None:
    """Checks that the rows of a table, [N, K], name the class that is most probable in them: where
    somebody left two decimals, another may be.

    Raises:
        ValueError: If one does not; `of_clip` follows its number.
    """
    most_probable = [class_names[k] for k in probabilities.argmax(axis=1)]
    for row, (name, expected) in enumerate(zip(predicted, most_probable, strict=True), start=1):
        if name != expected:
            raise ValueError(
                f"{name!r} as predicted in row {row}{of_clip}, where {expected!r} is most probable"
            )


def read_run_predictions(run: RunDir, *, split: str) -> Predictions:
    """Reads what a run predicts for the clips of a split, in the order of its manifest.

    Raises:
        FileNotFoundError: If it is no run, or has not been scored on the split, or files of it are
            missing.
        ValueError: If the run labels frames or has no clips of the split, or the file is no table
            of predictions, or not of these clips, labels and classes, all in their order.
    """
    if run.frame_labels_path.exists():  # before anybody scores it for nothing
        raise ValueError(
            f"{run.path}: expected a run that gives each clip one label. Received: one with "
            "--labels=frame. Name another."
        )
    path = run.predictions_path(split)
    if not path.exists():
        run.check_trained()
        take_split(run.read_clips(), split, listed_in=run.manifest_path)
        raise FileNotFoundError(
            f"{path}: missing. Score the run first: python -m train_head.evaluate "
            f"--run_dir={run.path} --cache_dir=... --split={split}"
        )
    run.check_has()
    found = read_predictions(path)
    check_is_of_run(run, split, found, labels=found.labels)
    return found


def check_is_of_run(run: RunDir, split: str, found, *, labels: list[str] | None = None) -> None:
    """Checks that predictions, of clips or of frames, are of a run's clips and classes.

    Args:
        run: The run.
        split: Of the clips.
        found: What was read of the file.
        labels: The clips' labels, where it has them.

    Raises:
        ValueError: If not, or not in their order.
    """
    clips = [clip for clip in run.read_clips() if clip.split == split]
    if (
        found.clip_ids != [clip.clip_id for clip in clips]
        or found.class_names != run.read_class_names()
        or (labels is not None and labels != [clip.label for clip in clips])
    ):
        raise ValueError(
            f"{run.predictions_path(split)}: expected the {len(clips)} {split} clips of "
            f"{run.manifest_path} and the classes of {run.classes_path}, in their order. Received: "
            "others, as where it was sorted or cut off. Delete it, and score the run again: "
            "python -m train_head.evaluate."
        )


def read_predictions(path: Path) -> Predictions:
    """Reads what `write_predictions` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table of predictions.
    """
    header = []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        class_names = find_column_classes(header[len(_COLUMNS) :])
        if header[: len(_COLUMNS)] != _COLUMNS or not rows:
            raise ValueError(f"the header {header[:4]} and {len(rows)} clips")
        if any(len(row) != len(header) for row in rows):
            raise ValueError("rows of different length")
        unknown = sorted({row[1] for row in rows} - set(class_names))
        if unknown:
            raise ValueError(f"the labels {unknown[:3]}, which are no columns")
        probabilities = np.array([row[len(_COLUMNS) :] for row in rows], np.float64)
        check_probabilities(probabilities)
        check_predicted(probabilities, [row[2] for row in rows], class_names)
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected a table of clips with the columns {', '.join(_COLUMNS)} and one of "
            f"probabilities for each class. Received: {error}. Score the run again: "
            "python -m train_head.evaluate."
        ) from None
    return Predictions(
        [row[0] for row in rows], [row[1] for row in rows], class_names, probabilities
    )
