"""How predictions of new clips are told: lines to print, and rows of a CSV file."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from lrcn.common.files.atomic_file import name_file
from lrcn.common.files.escaped_text import escape_control, escape_surrogates
from lrcn.common.programs.wording import name_count, pad_names
from train_head.labels.frame_labels import find_runs
from train_head.predictions.prediction import Prediction
from train_head.scores.class_columns import name_columns
from train_head.scores.frame_prediction_file import format_borders, format_clock
from train_head.scores.prediction_file import format_probabilities


def format_prediction(prediction: Prediction, class_names: list[str], *, top: int) -> list[str]:
    """Returns what is printed of a clip that could be read: its `top` most probable classes in one
    line or, with a label for every frame, a line for each segment.
    """
    probabilities = prediction.probabilities
    if probabilities.ndim == 2:
        return _format_segments(prediction, class_names)
    best = (-probabilities).argsort(kind="stable")[:top]
    shown = [f"{escape_control(class_names[k])} {probabilities[k]:.3f}" for k in best]
    return ["   ".join(shown)]


def _format_segments(prediction: Prediction, class_names: list[str]) -> list[str]:
    """Returns a line for each run of frames of one class: from where to where, class, and the mean
    of its probability. A segment reaches to the frame with which the next one begins.
    """
    borders = format_borders(prediction.clock)
    width = len(borders[-1])
    predicted = prediction.probabilities.argmax(axis=1)
    names = pad_names(class_names)
    lines = []
    for start, end in find_runs(predicted):
        mean = prediction.probabilities[start:end, predicted[start]].mean()
        span = f"{borders[start]:>{width}} to {borders[end]:>{width}}"
        lines.append(f"{span}   {names[predicted[start]]} {mean:.3f}")
    return lines


@contextlib.contextmanager
def open_prediction_csv(
    path: str | None, class_names: list[str], *, labels_frames: bool
) -> Iterator[Callable[[Prediction], None]]:
    """Yields a function that writes a prediction to a new CSV file, or does nothing without one.

    Rows appear as they are made, so a stop loses none. A clip that could not be read has a row
    without a class. A clip is in the file with all of its rows or not at all, also where the disk
    is full; a file without a clip is removed where the block raises.

    Args:
        path: The file; None for none.
        class_names: The K names.
        labels_frames: Whether a row is a frame, and not a clip.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it exists.
    """
    if path is None:
        yield lambda prediction: None
        return
    when = ["frame_index", "timestamp_sec"] if labels_frames else []
    num_clips = 0
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:  # not when the program started
        raise ValueError(
            f"{path}: another program has made it meanwhile. Name another --output."
        ) from None
    # Unbuffered: what a buffer still holds when the disk is full can be neither kept nor counted.
    with open(path, "r+b", buffering=0) as file:

        def write_rows(prediction: Prediction) -> None:
            nonlocal num_clips
            try:
                _append_rows(file, _make_rows(prediction, class_names, num_moments=len(when)))
            except OSError as error:
                if not num_clips:
                    raise
                clips = name_count(num_clips, "clip")
                raise OSError(
                    f"{path}: {error.strerror}. It holds the {clips} before, whole. Make room "
                    "there, and remove it or name another --output: one that exists is refused."
                ) from error
            num_clips += 1

        try:
            _append_rows(file, [["clip", *when, "predicted", *name_columns(class_names)]])
            yield write_rows
        except BaseException:
            if not num_clips:
                Path(path).unlink(missing_ok=True)
            raise


def _make_rows(prediction: Prediction, class_names: list[str], *, num_moments: int) -> list[list]:
    if prediction.probabilities is None:
        return [[prediction.source, *[""] * (num_moments + 1 + len(class_names))]]
    moments, answers = [()], [prediction.probabilities]
    if num_moments:
        moments, answers = format_clock(prediction.clock), prediction.probabilities
    return [
        [prediction.source, *moment, class_names[int(row.argmax())], *format_probabilities(row)]
        for moment, row in zip(moments, answers, strict=True)
    ]


def _append_rows(file: io.FileIO, rows: list[list]) -> None:
    """Writes all of the rows, or leaves the file as it is."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    end = file.tell()
    left = escape_surrogates(text.getvalue()).encode()
    try:
        with name_file(file.name):
            while left:  # a disk with too little room takes a part at first
                left = left[file.write(left) :]
    except BaseException:
        file.truncate(end)
        raise
