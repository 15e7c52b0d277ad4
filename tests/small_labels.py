"""Labels of the frames of two small clips, as users write them."""

import numpy as np

from lrcn.common.clips.clip import Clip
from train_head.labels.frame_labels import read_frame_labels

# Six frames at 10 a second, and four.
CLIPS = [Clip("walk/a", "a", "x", "train"), Clip("b", "b", "x", "test")]
FEATURES = {CLIPS[0]: np.ones((6, 2)), CLIPS[1]: np.ones((4, 2))}
IDS = [clip.clip_id for clip in CLIPS]
FRAME_COLUMNS = "clip_id,start_frame,end_frame,label"


def read(path, cache, *, clip_ids=IDS, **options):
    return read_frame_labels(path, clip_ids=clip_ids, known_ids=IDS, cache=cache, **options)


def write_csv(folder, *rows, columns="clip_id,start_sec,end_sec,label"):
    path = folder / "labels.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


def write_files(folder, texts):
    for clip_id, text in texts.items():
        path = folder / f"{clip_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def show(labels, clip_id="walk/a"):
    """Renders labels as a letter a frame, and `-` for none."""
    return "".join(
        "-" if k == -1 else labels.class_names[k][0] for k in labels.class_ids[clip_id].tolist()
    )
