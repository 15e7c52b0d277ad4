"""Animated GIF as a clip."""

import pytest
from media import decode, read_frame_numbers, write_gif
from video_data import cut

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import (
    UnreadableClipError,
    count_frames,
)


@pytest.mark.parametrize("name", ["clip.gif", "CLIP.GIF"])
def test_gif_is_a_clip(tmp_path, name):
    path = write_gif(tmp_path / name, 4, duration=[40, 80, 0, 40])
    frames = decode(path)
    assert read_frame_numbers(frame.pixels for frame in frames) == [0, 1, 2, 3]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_sec for frame in frames] == [0, 0.04, 0.12, 0.22]
    assert count_frames(path) == 4


def test_time_span_of_a_gif(tmp_path):
    path = write_gif(tmp_path / "clip.gif", 6, duration=100)
    frames = decode(path, Span(0.2, 0.4))
    assert read_frame_numbers(frame.pixels for frame in frames) == [2, 3]
    assert [frame.index for frame in frames] == [0, 1]
    assert count_frames(path, span=Span(0.2, 0.4)) == 2
    with pytest.raises(UnreadableClipError, match=r"clip\.gif: .*animation of 0\.6 s"):
        decode(path, Span(0.6))


@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_cut_off_gif_is_an_error(tmp_path, kept):
    path = write_gif(tmp_path / "clip.gif", 6, duration=100)
    cut(path, kept)
    with pytest.raises(UnreadableClipError, match=r"clip\.gif \(frame \d\)"):
        decode(path)
    if kept == 0.9:  # what lies behind a span does not count, as in videos
        assert len(decode(path, Span(end_sec=0.3))) == 3


def test_gif_that_is_cut_off_between_two_pictures_is_an_error(tmp_path):
    path = write_gif(tmp_path / "clip.gif", 6, duration=100)
    content = path.read_bytes()
    # Each picture but the first begins behind its control block, of 8 bytes.
    start = content.rindex(b"\x21\xf9\x04")
    for num_bytes in (start, start + 8, len(content) - 1):
        path.write_bytes(content[:num_bytes])
        with pytest.raises(UnreadableClipError, match=r"gif \(frame [56]\): .* without .* trailer"):
            decode(path)
    path.write_bytes(content + b"\n")  # as some servers send it
    assert len(decode(path)) == 6
