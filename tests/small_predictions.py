"""Predictions of two runs of three clips, small enough to average by hand."""

import numpy as np

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_class_names, write_manifest
from train_head.scores.prediction_file import Predictions, write_predictions

RGB = Predictions(
    ["a/1", "a/2", "b/1"],
    ["a", "a", "b"],
    ["a", "b"],
    np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]),
)
# The same clips and classes in another order, with columns a: 0.8, 0.8, 0.0.
FLOW = Predictions(
    ["b/1", "a/2", "a/1"],
    ["b", "a", "a"],
    ["b", "a"],
    np.array([[1.0, 0.0], [0.2, 0.8], [0.2, 0.8]]),
)


def write_run(folder, predictions, *, split="test", more_clips=()):
    folder.mkdir()
    clips = [
        Clip(x, x, label, split, group=f"of {x}")
        for x, label in zip(predictions.clip_ids, predictions.labels, strict=True)
    ]
    write_manifest(RunDir(folder).manifest_path, [*clips, *more_clips])
    write_class_names(RunDir(folder).classes_path, predictions.class_names)
    write_predictions(RunDir(folder).predictions_path(split), predictions)
    return folder


def replace(predictions, **fields):
    return Predictions(**{**vars(predictions), **fields})
