"""The report of a run with a label for every frame: numbers, bands over time, page."""

import numpy as np

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.cache.run_dir import RunDir
from train_head.labels.frame_labels import UNLABELLED, find_runs
from train_head.reports.report_page import fill_template
from train_head.scores.frame_prediction_file import (
    FramePredictions,
    format_borders,
    read_frame_predictions,
)
from train_head.scores.prediction_file import check_is_of_run
from train_head.scores.score_table import OVERLAPS, list_confusions

# Clips shown over time, and their bands: thousands would make the page slow.
_MAX_CLIPS = 40
_MAX_BANDS = 4000
# Classes of a matrix, which has their square of cells: a page of 800 had 67 MB.
_MAX_MATRIX_CLASSES = 100
# How wide a band must be for its name, in percent of the page's widest.
_PERCENT_BESIDE = 1.3
_PERCENT_A_LETTER = 0.75
# Degrees from the hue of one class to that of the next: never back to the same.
_HUE_STEP = 137.508
_FIRST_HUE = 250.0


def render_frame_page(run: RunDir, *, scores: dict, training: dict, **content) -> str:
    """Fills in `report_frames.html.jinja`.

    Args:
        run: A run with a label for every frame, that was scored.
        scores: The content of `metrics.json`.
        training: From `report_data.summarize_training`.
        **content: What else the template names.

    Raises:
        ValueError: If the run's predictions are damaged.
    """
    split = scores["split"]
    predictions = read_frame_predictions(run.predictions_path(split))
    check_is_of_run(run, split, predictions)
    class_names = predictions.class_names
    return fill_template(
        "report_frames.html.jinja",
        scripts=("report_charts.js", "report_tables.js"),
        styles=("report.css", "report_frames.css"),
        page_data={"training": training},
        scores=scores,
        overlaps=OVERLAPS,
        class_names=class_names,
        has_matrix=len(class_names) <= _MAX_MATRIX_CLASSES,
        confusions=list_confusions(scores["confusion_matrix"]),
        hues=[round((_FIRST_HUE + _HUE_STEP * k) % 360) for k in range(len(class_names))],
        clips=find_least_right(predictions),
        metrics_name=run.metrics_path(split).name,
        predictions_name=run.predictions_path(split).name,
        training=training,
        **content,
    )


def find_least_right(predictions: FramePredictions) -> list[dict]:
    """Describes the clips of which most labelled frames are wrong, the worst first.

    Returns:
        For each clip `clip_id`, `num_frames` (labelled), `accuracy`, `start` and `end` as text, and
        `true`, `predicted` and `wrong`: bands of {class_id, left and width in percent, span as
        text, has_room for its name}. Only as many clips as a page can hold.
    """
    clips = list(predictions.iter_clips())
    accuracies = [_measure_accuracy(class_ids, found) for *_, class_ids, found in clips]
    shown, num_bands = [], 0
    for i in np.argsort(accuracies, kind="stable")[:_MAX_CLIPS]:
        clip = _describe_clip(*clips[i], predictions.class_names)
        num_bands += sum(len(clip[row]) for row in ("true", "predicted", "wrong"))
        if shown and num_bands > _MAX_BANDS:
            break
        shown.append({"accuracy": accuracies[i], **clip})
    return shown


def _find_wrong(class_ids: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return (class_ids != UNLABELLED) & (probabilities.argmax(axis=1) != class_ids)


def _measure_accuracy(class_ids: np.ndarray, probabilities: np.ndarray) -> float:
    num_labelled = max(1, np.count_nonzero(class_ids != UNLABELLED))
    return float(1 - _find_wrong(class_ids, probabilities).sum() / num_labelled)


def _describe_clip(
    clip_id: str,
    clock: ClipClock,
    class_ids: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
) -> dict:
    is_wrong = _find_wrong(class_ids, probabilities)
    borders = format_borders(clock)
    return {
        "clip_id": clip_id,
        "num_frames": np.count_nonzero(class_ids != UNLABELLED),
        "start": borders[0],
        "end": borders[-1],
        "true": _make_bands(class_ids, borders, class_names),
        "predicted": _make_bands(probabilities.argmax(axis=1), borders, class_names),
        "wrong": _make_bands(np.where(is_wrong, 0, UNLABELLED), borders, class_names),
    }


def _make_bands(values: np.ndarray, borders: list[str], class_names: list[str]) -> list[dict]:
    percent = 100 / len(values)
    bands = []
    for start, end in find_runs(values):
        class_id, width = int(values[start]), (end - start) * percent
        if class_id != UNLABELLED:
            bands.append(
                {
                    "class_id": class_id,
                    "left": round(start * percent, 3),
                    "width": round(width, 3),
                    "has_room": width
                    > _PERCENT_BESIDE + _PERCENT_A_LETTER * len(class_names[class_id]),
                    "span": f"{borders[start]} to {borders[end]}",
                }
            )
    return bands
