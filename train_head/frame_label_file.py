"""The file that a run keeps the labels of its frames in."""

import csv
import io
from pathlib import Path

from lrcn.common.atomic_file import write_text
from train_head.frame_labels import UNLABELLED, FrameLabels, find_runs
from train_head.interval_file import FRAME_COLUMNS


def format_frame_labels(labels: FrameLabels) -> str:
    """Renders labels as a .csv of intervals in frames, the same text for the same labels.

    An interval reaches from the first to behind the last of cached frames in a row that have one
    label, so on the cache that they were read for they are the same again.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip_id", *FRAME_COLUMNS, "label"])
    for clip_id, class_ids in labels.class_ids.items():
        frame_index = labels.clocks[clip_id].frame_index
        for start, end in find_runs(class_ids):
            class_id = class_ids[start]
            if class_id != UNLABELLED:
                first, last = int(frame_index[start]), int(frame_index[end - 1])
                writer.writerow([clip_id, first, last + 1, labels.class_names[class_id]])
    return text.getvalue()


def write_frame_labels(path: Path, labels: FrameLabels) -> None:
    """Writes what `format_frame_labels` renders; the file appears whole or not at all."""
    write_text(path, format_frame_labels(labels))
