"""Classes that are called as a column of the tables of predictions is."""

import csv

import numpy as np
import pytest
from media import write_frame_folder

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.pixels.views import VIEWS
from train_head.predictions.explanation import Explanation
from train_head.predictions.explanation_files import ExplanationFolder
from train_head.predictions.prediction import Prediction
from train_head.predictions.prediction_output import open_prediction_csv
from train_head.scores.frame_prediction_file import (
    FramePredictions,
    read_frame_predictions,
    write_frame_predictions,
)
from train_head.scores.prediction_file import Predictions, read_predictions, write_predictions

CLASSES = ["clip", "clip_id", "frame_index", "influence", "label", "predicted", "timestamp_sec"]
CLASSES += ["class label", "class class label", "Label", "class", "class walk"]
CLOCK = ClipClock(np.arange(len(CLASSES), dtype=np.int32), np.zeros(len(CLASSES)))
ANSWERS = np.eye(len(CLASSES), dtype=np.float32)


def write_clips(folder):
    clip_ids = [f"clip_{i}" for i in range(len(CLASSES))]
    write_predictions(folder / "p.csv", Predictions(clip_ids, CLASSES, CLASSES, ANSWERS))
    return folder / "p.csv"


def write_frames(folder):
    class_ids = np.arange(len(CLASSES), dtype=np.int32)
    predictions = FramePredictions(["c"], CLASSES, [CLOCK], [class_ids], [ANSWERS])
    write_frame_predictions(folder / "p.csv", predictions)
    return folder / "p.csv"


def write_new_clip(folder, *, labels_frames=False):
    path = folder / "p.csv"
    with open_prediction_csv(str(path), CLASSES, labels_frames=labels_frames) as write:
        write(Prediction(folder, ANSWERS if labels_frames else ANSWERS[0], CLOCK))
    return path


def write_new_frames(folder):
    return write_new_clip(folder, labels_frames=True)


def write_explanation(folder):
    clip = write_frame_folder(folder / "clip", np.zeros((1, 32, 32, 3), np.uint8))
    explanation = Explanation(np.zeros(1, np.int32), np.zeros(1), ANSWERS[:1], np.ones(1), None, 0)
    files = ExplanationFolder(folder / "why", [clip], views=VIEWS["one"])
    files.write(0, explanation, class_names=CLASSES)
    return folder / "why" / "clip.csv"


@pytest.mark.parametrize(
    "write", [write_clips, write_frames, write_new_clip, write_new_frames, write_explanation]
)
def test_no_column_stands_twice(write, tmp_path):
    with open(write(tmp_path), newline="") as file:
        header = next(csv.reader(file))
    assert len(set(header)) == len(header)
    assert header[-len(CLASSES) :] == [
        *[f"class {name}" for name in CLASSES[:7]],
        "class class label",
        "class class class label",
        *CLASSES[9:],
    ]


def test_names_of_classes_come_back(tmp_path):
    read = read_predictions(write_clips(tmp_path))
    assert read.class_names == read.labels == CLASSES
    read = read_frame_predictions(write_frames(tmp_path))
    assert read.class_names == CLASSES
    np.testing.assert_array_equal(read.class_ids[0], np.arange(len(CLASSES)))


def test_tables_of_an_earlier_version_are_read(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("clip_id,label,predicted,label,run\na,label,run,0.4,0.6\n")
    assert read_predictions(path).class_names == ["label", "run"]
    path.write_text(
        "clip_id,frame_index,timestamp_sec,label,predicted,label,run\na,0,,label,run,0.4,0.6\n"
    )
    assert read_frame_predictions(path).class_names == ["label", "run"]
