"""Video files: formats, times, colours and orientation."""

import gc
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from media import SIZE, decode, make_numbered_frames, read_frame_numbers, write_video
from video_data import make_noise, read_numbers, write_motion_jpeg

from lrcn.common.decode import count_frames, iter_frames
from lrcn.common.source_stat import read_source_stat


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "libx264"),
        ("clip.mkv", "libx264"),
        ("clip.ts", "libx264"),
        ("clip.avi", "mpeg4"),
        ("clip.mov", "mpeg4"),
        ("clip.webm", "libvpx-vp9"),
        ("clip.mpg", "mpeg2video"),
        ("clip.h264", "libx264"),  # No times, no number of frames.
    ],
)
def test_formats(tmp_path, name, codec):
    path = write_video(tmp_path / name, make_numbered_frames(30), codec=codec)
    frames = decode(path)
    assert read_frame_numbers(frame.pixels for frame in frames) == list(range(30))
    assert [frame.index for frame in frames] == list(range(30))
    seconds = [frame.timestamp_sec for frame in frames]
    assert np.allclose(seconds, seconds[0] + np.arange(30) / 25, atol=1e-6)
    assert 0 <= seconds[0] < 0.1
    assert frames[0].pixels.shape == (SIZE, SIZE, 3)
    assert frames[0].pixels.dtype == np.uint8
    assert count_frames(path) == 30


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
    span = decode(path, start_sec=1.6, end_sec=1.72)
    assert len(span) == 3
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(span, whole[40:], strict=False))


def test_frames_of_the_right_size_are_not_resampled(tmp_path):
    (picture,) = make_noise(1, height=SIZE, width=SIZE)
    path = write_video(tmp_path / "clip.mkv", [picture], codec="ffv1", pix_fmt="bgr0")
    (frame,) = decode(path)
    assert np.array_equal(frame.pixels, picture)


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
    assert read_numbers(path, start_sec=seconds[26], end_sec=seconds[29]) == [26, 27, 28]


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
    assert read_numbers(path, start_sec=0.4, end_sec=0.48) == [10, 11]


COLORS = np.array(
    [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]], np.uint8
)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize(
    "color",
    [
        None,
        {"colorspace": Colorspace.ITU601, "color_range": ColorRange.MPEG},
        {"colorspace": Colorspace.ITU709, "color_range": ColorRange.MPEG},
        {"colorspace": Colorspace.ITU601, "color_range": ColorRange.JPEG},
        {"colorspace": Colorspace.ITU709, "color_range": ColorRange.JPEG},
    ],
)
def test_color_matrix_range_and_depth(tmp_path, pix_fmt, color):
    frames = np.broadcast_to(COLORS[:, None, None], (len(COLORS), 32, 32, 3))
    path = write_video(
        tmp_path / "clip.mp4", frames, pix_fmt=pix_fmt, color=color, options={"crf": "1"}
    )
    decoded = np.array([frame.pixels[16, 16] for frame in decode(path)]).astype(int)
    assert np.abs(decoded - COLORS).max() <= 3
    if color is None or color["color_range"] == ColorRange.MPEG:
        assert decoded[0].min() >= 254


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_applied(tmp_path, turns):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, 32:], picture[32:, :32], picture[32:, 32:] = 80, 160, 240
    path = write_video(tmp_path / "clip.mp4", [picture] * 3, rotation=90 * turns)
    expected = np.rot90(picture, turns)[1::2, 1::2].astype(int)
    for frame in decode(path):
        differences = np.abs(frame.pixels - expected)
        assert differences[2:14, 2:14].max() < 9 and differences[18:30, 2:14].max() < 9
        assert differences[2:14, 18:30].max() < 9 and differences[18:30, 18:30].max() < 9


def test_mirror_matrix_is_applied(tmp_path):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 240
    path = write_video(tmp_path / "clip.mp4", [picture] * 3)
    content = path.read_bytes()
    one = (1 << 16).to_bytes(4, "big")
    identity = one + bytes(12) + one + bytes(12) + (1 << 30).to_bytes(4, "big")
    at = content.index(identity, content.index(b"tkhd"))
    minus_one = (-1 << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content[:at] + minus_one + content[at + 4 :])
    pixels = decode(path)[0].pixels
    assert pixels[:, :14].min() > 230 and pixels[:, 18:].max() < 10


@pytest.mark.parametrize("name", ["clip.avi", "clip.mov"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, [[0, 80], [160, 240]]),
        (2, [[80, 0], [240, 160]]),
        (4, [[160, 240], [0, 80]]),
        (5, [[0, 160], [80, 240]]),
        (6, [[160, 0], [240, 80]]),
    ],
)
def test_exif_of_motion_jpeg_is_applied(tmp_path, name, orientation, corners):
    picture = np.kron([[0, 80], [160, 240]], np.ones((32, 32)))[..., None].repeat(3, axis=2)
    path = write_motion_jpeg(tmp_path / name, picture.astype(np.uint8), orientation=orientation)
    frames = decode(path)
    assert len(frames) == 3
    for frame in frames:
        found = frame.pixels[8::16, 8::16].astype(int)
        assert np.abs(found - np.array(corners)[..., None]).max() < 9


def test_odd_size(tmp_path):
    frames = make_numbered_frames(5, height=77, width=101)
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    assert read_numbers(path) == list(range(5))


def test_pixel_aspect_ratio_plays_no_part(tmp_path):
    path = write_video(
        tmp_path / "clip.mp4", make_numbered_frames(3), options={"x264-params": "sar=2/1"}
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    assert read_numbers(path) == [0, 1, 2]


def test_of_several_streams_the_default_one_is_taken(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        streams[0].disposition, streams[1].disposition = 0, av.stream.Disposition.default
        for stream, level in zip(streams, (0, 16 + 8 * 7), strict=True):
            stream.width = stream.height = 64
            picture = np.full((64, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    assert read_numbers(path) == [7]


def test_files_are_closed(tmp_path):
    def find_open_files():
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.exists(link)]

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(30))
    frames = iter_frames(path, image_size=SIZE)
    next(frames)
    assert str(path) in find_open_files()
    frames.close()
    assert str(path) not in find_open_files()
    decode(path, end_sec=0.2)
    assert str(path) not in find_open_files()


@pytest.mark.parametrize("rotation", [0, 90])
def test_pictures_that_are_done_go_without_a_look_for_garbage(tmp_path, rotation):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(30), rotation=rotation)
    gc.collect()
    gc.disable()
    try:
        for _ in iter_frames(path, image_size=SIZE):
            assert sum(isinstance(x, av.VideoFrame) for x in gc.get_objects()) < 5
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "name", ["a b.mp4", "http:x.mp4", "走る%d.mp4", "line\nbreak.mp4", "no_suffix"]
)
def test_names(tmp_path, name, monkeypatch):
    shutil.move(write_video(tmp_path / "clip.mp4", make_numbered_frames(3)), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_numbers(name) == [0, 1, 2]


def test_source_stat(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(3))
    stat = path.stat()
    assert read_source_stat(path) == (stat.st_size, stat.st_mtime_ns, "", "")


def test_pyav_is_not_imported_before_a_video_is_met():
    code = "import lrcn.common.decode, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
