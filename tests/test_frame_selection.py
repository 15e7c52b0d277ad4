"""Which frames of a clip are extracted: tables of the arithmetic."""

import math

import numpy as np
import pytest

from lrcn.common.pixels.frame_selection import FrameSelection


def select(times_sec, **settings):
    """Returns the numbers of the frames that are kept of a clip."""
    selection = FrameSelection(**settings)
    kept = list(selection.iter_kept(times_sec, lambda: times_sec))
    assert selection.count(times_sec) == len(kept)
    np.testing.assert_array_equal([sec for _, sec in kept], [times_sec[i] for i, _ in kept])
    return [i for i, _ in kept]


def make_times(fps, num_frames):
    return [i / fps for i in range(num_frames)]


@pytest.mark.parametrize(
    ("num_frames", "settings", "expected"),
    [
        (4, {}, [0, 1, 2, 3]),
        (7, {"frame_stride": 1}, [0, 1, 2, 3, 4, 5, 6]),
        (7, {"frame_stride": 3}, [0, 3, 6]),
        (6, {"frame_stride": 3}, [0, 3]),
        (2, {"frame_stride": 9}, [0]),
        (4, {"max_frames": 0}, [0, 1, 2, 3]),
        (10, {"max_frames": 1}, [5]),
        (10, {"max_frames": 5}, [1, 3, 5, 7, 9]),
        (5, {"max_frames": 4}, [0, 1, 3, 4]),
        (4, {"max_frames": 4}, [0, 1, 2, 3]),
        (3, {"max_frames": 4}, [0, 1, 2]),
        # Of 0, 2, 4, 6, 8 the centres of two segments: the positions 1 and 3.
        (10, {"frame_stride": 2, "max_frames": 2}, [2, 6]),
    ],
)
def test_stride_and_max_frames(num_frames, settings, expected):
    assert select([math.nan] * num_frames, **settings) == expected


@pytest.mark.parametrize(
    ("times_sec", "fps", "expected"),
    [
        (make_times(25, 26), 5, [0, 5, 10, 15, 20, 25]),
        (make_times(30, 61), 10, list(range(0, 61, 3))),
        (make_times(25, 13), 10, [0, 3, 5, 8, 10]),  # ticks at 2.5, 5, 7.5, 10 and 12.5 frames
        (make_times(25, 26), 12.5, list(range(0, 26, 2))),
        (make_times(25, 26), 0.5, [0]),
        (make_times(25, 51), 0.5, [0, 50]),
        # As fast as the clip, or faster: every frame, once.
        (make_times(25, 6), 25, [0, 1, 2, 3, 4, 5]),
        (make_times(25, 6), 1000, [0, 1, 2, 3, 4, 5]),
        # Of a camera of high speed: a millisecond is a whole tick there.
        (make_times(1000, 40), 1000, list(range(40))),
        # Times count from the first frame, such as that of a time span.
        ([x + 7.31 for x in make_times(25, 11)], 5, [0, 5, 10]),
        # A container that rounds to a millisecond; 0.067 and 0.133 are 1 / 15 and 2 / 15.
        ([0, 0.033, 0.067, 0.1, 0.133, 0.167, 0.2], 15, [0, 2, 4, 6]),
        # Variable rate: bursts are thinned out, a still picture is not repeated.
        ([0, 0.01, 0.02, 0.5, 0.51, 3, 3.02, 3.1, 3.2], 10, [0, 3, 5, 7, 8]),
        # Late frames do not shift the ticks: 0.19 stands for the tick 0.1, 0.2 for 0.2.
        ([0, 0.19, 0.2, 0.3], 10, [0, 1, 2, 3]),
    ],
)
def test_fps_takes_a_frame_for_each_tick(times_sec, fps, expected):
    assert select(times_sec, fps=fps) == expected


def test_fps_then_max_frames():
    times_sec = [0, 0.01, 0.02, 0.5, 0.51, 3, 3.02, 3.1, 3.2]
    assert select(times_sec, fps=10, max_frames=2) == [3, 7]  # of 0, 3, 5, 7, 8


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "all"),
        ({"frame_stride": 2}, "stride=2"),
        ({"fps": 5}, "fps=5"),
        ({"fps": 23.976023976023978}, "fps=23.976023976023978"),
        ({"max_frames": 100}, "max_frames=100"),
        ({"frame_stride": 2, "max_frames": 100}, "stride=2,max_frames=100"),
        ({"fps": 0.1, "max_frames": 3}, "fps=0.1,max_frames=3"),
    ],
)
def test_a_selection_comes_back_from_its_text_and_its_flags(settings, text):
    selection = FrameSelection(**settings)
    assert str(selection) == text
    assert FrameSelection.parse(text, where="cache.json") == selection
    other = FrameSelection(frame_stride=7, max_frames=7)  # of which the flags leave nothing
    assert FrameSelection(**selection.list_flags()).complete(other) == selection


def test_a_stride_of_one_is_no_selection_nor_is_a_limit_of_zero():
    assert str(FrameSelection(frame_stride=1, max_frames=0)) == "all"
    assert str(FrameSelection(frame_stride=1, max_frames=2)) == "max_frames=2"


@pytest.mark.parametrize("text", ["", "every", "stride=two", "fps=5,stride=2", "stride=0", "a=b=c"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"^x/cache\.json: expected a frame_selection such as all"):
        FrameSelection.parse(text, where="x/cache.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_stride": 0}, r"frame_stride of at least 1\. Received: frame_stride=0"),
        ({"max_frames": -1}, r"max_frames of at least 0\. Received: max_frames=-1"),
        ({"fps": 0}, r"fps above 0 and at most 1,000,000\. Received: fps=0\. Correct it"),
        ({"fps": math.nan}, r"Received: fps=nan"),
        ({"fps": math.inf}, r"Received: fps=inf"),
        ({"fps": 1.7e308}, r"Received: fps=1.7e\+308"),
        ({"fps": 5, "frame_stride": 2}, r"Received: frame_stride=2 and fps=5\. Leave one out"),
    ],
)
def test_selections_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FrameSelection(**settings)


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        ({}, {"fps": 5, "max_frames": 9}, "fps=5,max_frames=9"),
        ({"max_frames": 3}, {"fps": 5, "max_frames": 9}, "fps=5,max_frames=3"),
        ({"max_frames": 0}, {"fps": 5, "max_frames": 9}, "fps=5"),
        ({"frame_stride": 2}, {"fps": 5, "max_frames": 9}, "stride=2,max_frames=9"),
        ({"fps": 2}, {"frame_stride": 5}, "fps=2"),
        ({"frame_stride": 1}, {"fps": 5}, "all"),
    ],
)
def test_what_is_left_open_is_what_is_known(given, known, expected):
    assert str(FrameSelection(**given).complete(FrameSelection(**known))) == expected
