"""Video files: times and order of their frames."""

from fractions import Fraction

import av
import numpy as np
import pytest
from media import decode, make_numbered_frames, read_frame_numbers, write_video
from video_data import read_numbers

from lrcn.common.clips.span import Span


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.m1v", "mpeg1video"), ("clip.m2v", "mpeg2video"), ("clip.m4v", "mpeg4")],
)
def test_an_elementary_stream_begins_at_0_also_where_the_decoder_holds_frames_back(
    tmp_path, name, codec
):
    frames = np.concatenate([make_numbered_frames(30)] * 2)
    path = write_video(tmp_path / name, frames, codec=codec, options={"bf": "2"})
    whole = decode(path)
    assert np.allclose([frame.timestamp_sec for frame in whole], np.arange(60) / 25)
    span = decode(path, Span(1.6, 1.72))
    assert len(span) == 3
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(span, whole[40:], strict=False))


def test_b_frames_come_in_display_order(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(30), options={"bf": "3"})
    with av.open(str(path)) as container:
        decoding_order = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert decoding_order != sorted(decoding_order)
    frames = decode(path)
    assert read_frame_numbers(frame.pixels for frame in frames) == list(range(30))
    assert [frame.timestamp_sec for frame in frames] == [i / 25 for i in range(30)]


def test_b_frames_in_avi_come_in_rising_time(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(30), options={"bf": "2"})
    seconds = [frame.timestamp_sec for frame in decode(path)]
    assert seconds == [i / 25 for i in range(30)]


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_h264_in_asf_has_the_times_of_its_own_frames(tmp_path, b_frames):
    pts = [*range(3, 13), 15, *range(17, 36)]
    options = {"bf": b_frames, "g": "10"}
    path = write_video(tmp_path / "clip.asf", make_numbered_frames(30), pts=pts, options=options)
    seconds = [frame.timestamp_sec for frame in decode(path)]
    assert np.allclose(seconds, (np.array(pts) - 3) / 25)
    assert read_numbers(path, Span(seconds[26], seconds[29])) == [26, 27, 28]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_variable_frame_rate(tmp_path, name):
    pts = [0, 1, 2, 10, 11, 30]
    path = write_video(tmp_path / name, make_numbered_frames(6), pts=pts)
    seconds = [frame.timestamp_sec for frame in decode(path)]
    assert np.allclose(seconds, [i / 25 for i in pts])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_times_count_from_the_start_of_the_stream(tmp_path, name):
    pts = list(range(250, 280))
    path = write_video(tmp_path / name, make_numbered_frames(30), pts=pts)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.start_time * stream.time_base >= Fraction(10)
    seconds = [frame.timestamp_sec for frame in decode(path)]
    assert np.allclose(seconds, np.arange(30) / 25)
    assert read_numbers(path, Span(0.4, 0.48)) == [10, 11]
