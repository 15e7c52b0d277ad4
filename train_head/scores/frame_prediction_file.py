"""`predictions.csv` where every frame has a label: what a run says of each frame of a split."""

import csv
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lrcn.common.cache.clip_features import ClipClock
from train_head.labels.frame_labels import UNLABELLED
from train_head.scores.class_columns import find_column_classes, name_columns
from train_head.scores.prediction_file import (
    check_predicted,
    check_probabilities,
    format_probabilities,
)

COLUMNS = ["clip_id", "frame_index", "timestamp_sec", "label", "predicted"]


@dataclasses.dataclass(frozen=True)
class FramePredictions:
    """The predictions for all frames of N clips.

    Attributes:
        clip_ids: N names.
        class_names: The K names.
        clocks: When the frames of each clip are.
        class_ids: [T] int32 of each clip, `UNLABELLED` for frames without a label.
        probabilities: [T, K] float32 of each clip, rows sum to 1.
    """

    clip_ids: list[str]
    class_names: list[str]
    clocks: list[ClipClock]
    class_ids: list[np.ndarray]
    probabilities: list[np.ndarray]

    def iter_clips(self) -> Iterator[tuple[str, ClipClock, np.ndarray, np.ndarray]]:
        """Yields clip_id, clock, class ids and probabilities of each clip."""
        return zip(self.clip_ids, self.clocks, self.class_ids, self.probabilities, strict=True)


def write_frame_predictions(path: Path, predictions: FramePredictions) -> None:
    """Writes a row for each frame: when it is, its label, the class predicted, and every class's
    probability. Times and labels that there are none of are empty.
    """
    names = predictions.class_names
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *name_columns(names)])
        for clip_id, clock, class_ids, probabilities in predictions.iter_clips():
            for when, class_id, row in zip(
                format_clock(clock), class_ids, probabilities, strict=True
            ):
                label = "" if class_id == UNLABELLED else names[class_id]
                predicted = names[int(row.argmax())]
                writer.writerow([clip_id, *when, label, predicted, *format_probabilities(row)])


def format_clock(clock: ClipClock) -> list[tuple[int, str]]:
    """Returns frame_index and timestamp_sec of each frame as a table shows them."""
    return [
        (int(index), "" if np.isnan(sec) else f"{sec:.6f}")
        for index, sec in zip(clock.frame_index, clock.timestamp_sec, strict=True)
    ]


def format_borders(clock: ClipClock) -> list[str]:
    """Returns the T + 1 borders of T frames as readers are told: when each begins, by its number
    where there are no times, and when the last ends.
    """
    frame_index, timestamp_sec = clock
    if np.isnan(timestamp_sec).any():
        return [f"frame {x}" for x in [*frame_index, frame_index[-1] + 1]]
    # The last frame lasts as long as the others do on average.
    frame_sec = np.diff(timestamp_sec).mean() if len(timestamp_sec) > 1 else 0.0
    return [f"{x:.2f} s" for x in [*timestamp_sec, timestamp_sec[-1] + frame_sec]]


def read_frame_predictions(path: Path) -> FramePredictions:
    """Reads what `write_frame_predictions` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table of predictions for frames.
    """
    clips = []
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            class_names = find_column_classes(header[len(COLUMNS) :])
            id_of = {"": UNLABELLED, **{name: k for k, name in enumerate(class_names)}}
            if header[: len(COLUMNS)] != COLUMNS:
                raise ValueError(f"the header {header[:3]}")
            # Clip by clip: the text of all rows would take ten times the memory of their numbers.
            for clip_id, rows in itertools.groupby(reader, key=lambda row: row[0]):
                clock, class_ids, predicted, probabilities = _parse_rows(rows, id_of)
                check_probabilities(probabilities, of_clip=f" of {clip_id}")
                check_predicted(probabilities, predicted, class_names, of_clip=f" of {clip_id}")
                clips.append((clip_id, clock, class_ids, probabilities))
            if not clips:
                raise ValueError("no frames")
        except (ValueError, KeyError, IndexError, csv.Error) as error:
            raise ValueError(
                f"{path}: expected a table of frames with the columns {', '.join(COLUMNS)} and one "
                f"of probabilities for each class. Received: {error}. Score the run again: "
                "python -m train_head.evaluate."
            ) from None
    clip_ids, clocks, class_ids, probabilities = map(list, zip(*clips, strict=True))
    return FramePredictions(clip_ids, class_names, clocks, class_ids, probabilities)


def _parse_rows(
    rows: Iterator[list[str]], id_of: dict[str, int]
) -> tuple[ClipClock, np.ndarray, tuple[str, ...], np.ndarray]:
    """Returns clock, class ids, names predicted and probabilities of a clip."""
    index, seconds, labels, predicted, *numbers = zip(*(row[1:] for row in rows), strict=True)
    clock = ClipClock(
        np.array(index, np.int32), np.array([x or "nan" for x in seconds], np.float64)
    )
    class_ids = np.array([id_of[label] for label in labels], np.int32)
    return clock, class_ids, predicted, np.array(numbers, np.float64).T
