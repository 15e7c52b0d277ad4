"""What is printed of new clips, and their CSV file: whole rows and clips, also on a full disk."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal

from lrcn.common.cache.clip_features import ClipClock, ClipFeatures
from train_head.predictions.prediction import Prediction
from train_head.predictions.prediction_output import format_prediction, open_prediction_csv

CLASS_NAMES = ["left", "right"]


def make_prediction(number, *, num_frames):
    probabilities = np.full((num_frames or 1, 2), 0.5, np.float32)
    clock = ClipClock(np.arange(num_frames, dtype=np.int32), np.full(num_frames, np.nan))
    source = Path("clips" * 10) / f"clip_{number}"
    return Prediction(source, probabilities if num_frames else probabilities[0], clock)


def write_until_full(path, *, num_frames):
    """Returns the error, and how many clips were written before."""
    number = 0
    with (
        pytest.raises(OSError, match=re.escape(str(path))) as caught,
        open_prediction_csv(
            str(path), CLASS_NAMES, labels_frames=num_frames > 0
        ) as write_prediction,
    ):
        for number in range(1000):
            write_prediction(make_prediction(number, num_frames=num_frames))
    return caught.value, number


def test_a_prediction_that_a_shell_shows_is_its_answer():
    clock = ClipClock(np.arange(800), np.arange(800) / 25)
    sequence = ClipFeatures(
        np.zeros((16, 7, 7, 512), np.float16), clock.frame_index[:16], clock.timestamp_sec[:16]
    )
    shown = Prediction(Path("new.mp4"), np.array([0.25, 0.75]), clock, [sequence])
    assert repr(shown).replace(type(Path()).__name__, "Path") == (
        "Prediction(source=Path('new.mp4'), probabilities=array([0.25, 0.75]), failure='')"
    )


def test_classes_that_are_as_probable_are_told_in_their_order():
    names = [f"class_{k}" for k in range(64)]
    prediction = Prediction(Path("clip"), np.tile([0, 1 / 32], 32))
    (line,) = format_prediction(prediction, names, top=3)
    assert line == "class_1 0.031   class_3 0.031   class_5 0.031"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        # The last frame lasts as long as the others on average, 0.2 s.
        ([0, 0.1, 0.3, 0.6], ["0.00 s to 0.30 s   up   0.800", "0.30 s to 0.80 s   down 0.700"]),
        ([np.nan] * 4, ["frame 0 to frame 4   up   0.800", "frame 4 to frame 7   down 0.700"]),
        ([0.2], ["0.20 s to 0.20 s   up   0.900"]),
        ([np.nan], ["frame 0 to frame 1   up   0.900"]),
    ],
)
def test_segments_reach_to_the_frame_with_which_the_next_begins(times, expected):
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]])[: len(times)]
    clock = ClipClock(np.arange(len(times), dtype=np.int32) * 2, np.array(times))
    prediction = Prediction(Path("clip"), probabilities, clock)
    assert format_prediction(prediction, ["up", "down"], top=5) == expected


@pytest.mark.parametrize("num_frames", [0, 7])
def test_a_disk_that_fills_up_leaves_whole_clips(make_small_disk, num_frames):
    path = make_small_disk(8) / "p.csv"
    error, num_clips = write_until_full(path, num_frames=num_frames)
    assert str(error) == (
        f"{path}: No space left on device. It holds the {num_clips} clips before, whole. Make room "
        "there, and remove it or name another --output: one that exists is refused."
    )
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert num_clips > 1 and path.read_bytes().endswith(b"\r\n")
    assert {len(row) for row in rows} == {len(header)}
    clips = [row[0].split("_")[1] for row in rows]
    assert clips == [str(i) for i in range(num_clips) for _ in range(num_frames or 1)]


def test_a_disk_that_is_full_at_once_leaves_no_file(make_small_disk):
    disk = make_small_disk(8)
    (disk / "others").write_bytes(bytes(8192))
    error, num_clips = write_until_full(disk / "p.csv", num_frames=0)
    assert str(error) == f"[Errno 28] No space left on device: '{disk}/p.csv'"
    assert num_clips == 0 and [path.name for path in disk.iterdir()] == ["others"]


def test_a_file_that_another_made_meanwhile_stays(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("mine")
    with (
        refusal(f"{path}: another program has made it meanwhile. Name another --output."),
        open_prediction_csv(str(path), CLASS_NAMES, labels_frames=False),
    ):
        pass
    assert path.read_text() == "mine"


def test_a_stop_before_the_first_clip_leaves_no_file(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        open_prediction_csv(str(tmp_path / "p.csv"), CLASS_NAMES, labels_frames=False),
    ):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
