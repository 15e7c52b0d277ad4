"""How predictions of new clips are told: lines to print, and rows of a CSV file."""

import contextlib
import csv
from collections.abc import Callable, Iterator

import numpy as np

from train_head.frame_labels import find_runs
from train_head.frame_prediction_file import format_clock
from train_head.prediction import Prediction
from train_head.prediction_file import format_probabilities


def format_prediction(prediction: Prediction, class_names: list[str], *, top: int) -> list[str]:
    """Returns what is printed of a clip that could be read: its `top` most probable classes in one
    line or, with a label for every frame, a line for each segment.
    """
    probabilities = prediction.probabilities
    if probabilities.ndim == 2:
        return _format_segments(prediction, class_names)
    best = (-probabilities).argsort(kind="stable")[:top]
    return ["   ".join(f"{class_names[k]} {probabilities[k]:.3f}" for k in best)]


def _format_segments(prediction: Prediction, class_names: list[str]) -> list[str]:
    """Returns a line for each run of frames of one class: from where to where, class, and the mean
    of its probability. A segment reaches to the frame with which the next one begins.
    """
    frame_index, timestamp_sec = prediction.clock
    in_sec = bool(np.isfinite(timestamp_sec).all())
    if in_sec:
        # The last frame lasts as long as the others do on average.
        frame_sec = np.diff(timestamp_sec).mean() if len(timestamp_sec) > 1 else 0.0
        moments = [f"{x:.2f} s" for x in (*timestamp_sec, timestamp_sec[-1] + frame_sec)]
    else:
        moments = [f"frame {x}" for x in (*frame_index, frame_index[-1] + 1)]
    width = len(moments[-1])
    predicted = prediction.probabilities.argmax(axis=1)
    name_width = max(map(len, class_names))
    lines = []
    for start, end in find_runs(predicted):
        name = class_names[predicted[start]]
        mean = prediction.probabilities[start:end, predicted[start]].mean()
        span = f"{moments[start]:>{width}} to {moments[end]:>{width}}"
        lines.append(f"{span}   {name:{name_width}} {mean:.3f}")
    return lines


@contextlib.contextmanager
def open_prediction_csv(
    path: str | None, class_names: list[str], *, labels_frames: bool
) -> Iterator[Callable[[Prediction], None]]:
    """Yields a function that writes a prediction to a new CSV file, or does nothing without one.

    Rows appear as they are made, so a stop loses none. A clip that could not be read has a row
    without a class.

    Args:
        path: The file; None for none.
        class_names: The K names.
        labels_frames: Whether a row is a frame, and not a clip.
    """
    if path is None:
        yield lambda prediction: None
        return
    when = ["frame_index", "timestamp_sec"] if labels_frames else []
    with open(
        path, "x", encoding="utf-8", errors="backslashreplace", newline="", buffering=1
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["clip", *when, "predicted", *class_names])

        def write_rows(prediction) -> None:
            if prediction.probabilities is None:
                writer.writerow([prediction.source, *[""] * (len(when) + 1 + len(class_names))])
                return
            moments, rows = [()], [prediction.probabilities]
            if labels_frames:
                moments, rows = format_clock(prediction.clock), prediction.probabilities
            for moment, row in zip(moments, rows, strict=True):
                predicted = class_names[int(row.argmax())]
                writer.writerow([prediction.source, *moment, predicted, *format_probabilities(row)])

        yield write_rows
