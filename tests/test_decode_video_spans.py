"""Spans of videos are exact to the frame, wherever the file lets a reader begin."""

from fractions import Fraction

import numpy as np
import pytest
from media import decode, make_numbered_frames, read_frame_numbers, write_video
from video_data import copy_packets, make_noise, read_numbers

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames

OPEN_GROUPS = {"g": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=10:scenecut=0"}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
@pytest.mark.parametrize("options", [{"g": "10"}, {"g": "10", "bf": "0"}, OPEN_GROUPS])
def test_time_span_is_exact_to_the_frame(tmp_path, name, options):
    frames = np.concatenate([make_numbered_frames(30)] * 4)
    path = write_video(tmp_path / name, frames, options=options)
    seconds = [frame.timestamp_sec for frame in decode(path)]
    for first, last in [(0, 10), (34, 35), (45, 75), (100, 120)]:
        end_sec = None if last == 120 else seconds[last]
        span = decode(path, Span(seconds[first], end_sec))
        assert [frame.index for frame in span] == list(range(last - first))
        assert [frame.timestamp_sec for frame in span] == seconds[first:last]
        assert read_frame_numbers(frame.pixels for frame in span) == [
            i % 30 for i in range(first, last)
        ]
        assert count_frames(path, span=Span(seconds[first], end_sec)) == last - first


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize("decimals", [3, 6])
def test_a_span_begins_and_ends_at_times_as_they_are_written(tmp_path, name, decimals):
    # Matroska itself rounds thirtieths to milliseconds.
    path = write_video(tmp_path / name, make_numbered_frames(9), fps=30)
    offset_sec = decode(path)[0].timestamp_sec
    for first in range(8):
        start_sec, end_sec = (round(offset_sec + i / 30, decimals) for i in (first, first + 1))
        (frame,) = decode(path, Span(start_sec, end_sec))
        assert read_frame_numbers([frame.pixels]) == [first]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("added_ms", [0, 0.5])
def test_a_time_of_half_a_millisecond_may_be_rounded_up_or_down(tmp_path, name, added_ms):
    path = write_video(tmp_path / name, make_numbered_frames(9), fps=16)
    for first in range(8):
        start_sec, end_sec = (int(i * 62.5 + added_ms) / 1000 for i in (first, first + 1))
        (frame,) = decode(path, Span(start_sec, end_sec))
        assert read_frame_numbers([frame.pixels]) == [first]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("written_sec", [0.5, 0.5005, 0.501])
@pytest.mark.parametrize(("rate", "first"), [(30000, 15), (24000, 12), (60000, 30)])
def test_half_a_millisecond_that_binary_numbers_lack(tmp_path, name, written_sec, rate, first):
    """Of 29.97 frames a second, frame 15 is at 0.5005 s, for which the float is a little less."""
    frames = np.concatenate([make_numbered_frames(30)] * 2)
    path = write_video(tmp_path / name, frames, fps=Fraction(rate, 1001))
    before = decode(path, Span(end_sec=written_sec))
    behind = decode(path, Span(written_sec))
    assert (len(before), len(behind)) == (first, 60 - first)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", {"g": "25", "bf": "3", "x264-params": "open-gop=1"}),
        ("clip.mkv", {"g": "250", "x264-params": "intra-refresh=1:keyint=50"}),
    ],
)
def test_what_a_seek_leads_to_may_refer_to_pictures_before_it(tmp_path, name, options):
    numbers = [i % 30 for i in range(250)]
    path = write_video(tmp_path / name, make_numbered_frames(30)[numbers], options=options)
    for first in (37, 75, 137, 200):
        found = read_numbers(path, Span(first / 25, (first + 10) / 25))
        assert found == numbers[first : first + 10]


def test_span_of_a_long_video_is_not_decoded_from_its_beginning(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(60), fps=2, options={"g": "4"})
    content = bytearray(path.read_bytes())
    content[len(content) // 10 : len(content) // 5] = bytes(len(content) // 5 - len(content) // 10)
    path.write_bytes(content)
    for start_sec in (None, 2.0):
        with pytest.raises(UnreadableClipError, match="it ended"):
            decode(path, Span(start_sec))
    assert len(decode(path, Span(25.0))) == 10


def test_span_of_a_stream_whose_key_frames_are_far_apart(tmp_path):
    # Without an index, a reader that seeks meets the next key frame, which is behind the span.
    frames = np.concatenate([make_numbered_frames(30)] * 4)
    path = write_video(tmp_path / "clip.ts", frames, options={"g": "100"})
    assert read_numbers(path, Span(1.6, 2.0)) == list(range(10, 20))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
def test_span_without_frames_names_the_end_of_the_video(tmp_path, name):
    path = write_video(tmp_path / name, make_numbered_frames(30))
    for span in (Span(17.0), Span(17.0, 19.0)):
        with pytest.raises(UnreadableClipError, match=r"clip\.\w+: .*17 <= .*1\.\d+ s\. Correct"):
            decode(path, span)
    with pytest.raises(UnreadableClipError, match=r"0\.11 <= time < 0\.115"):
        decode(path, Span(0.11, 0.115))
    with pytest.raises(UnreadableClipError, match=r"received none before 0\.000 s\. Correct"):
        decode(path, Span(0.0, 0.0004))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_span_in_which_nothing_moves_names_the_frames_around_it(tmp_path, name):
    """A recording of a screen has no frame where nothing changes, and does not end there."""
    pts = [*range(10), *range(400, 410)]
    path = write_video(tmp_path / name, make_numbered_frames(20), pts=pts)
    with pytest.raises(UnreadableClipError, match=r"frames at 0\.360 s and next at 16\.000 s\. "):
        decode(path, Span(5, 10))


# Amid the first group, at the second key frame, and behind it.
@pytest.mark.parametrize(("skip", "first"), [(5, 10), (9, 10), (10, 20)])
def test_video_cut_without_re_encoding_may_start_amid_a_group(tmp_path, skip, first):
    path = write_video(tmp_path / "whole.mkv", make_numbered_frames(30), options=OPEN_GROUPS)
    path = copy_packets(path, tmp_path / "clip.mkv", skip=skip)
    assert read_numbers(path) == list(range(first, 30))


def test_span_of_a_program_stream_that_states_the_time_of_few_frames(tmp_path):
    # Its packets are filled with frames, so key frames rarely begin one and have a time.
    frames = np.concatenate([make_numbered_frames(30)] * 5)
    path = write_video(tmp_path / "clip.vob", frames, options={"g": "10"})
    seconds = [frame.timestamp_sec for frame in decode(path)]
    for first in range(0, 130, 10):
        span = Span(seconds[first], seconds[first + 20])
        assert read_numbers(path, span) == [i % 30 for i in range(first, first + 20)]
