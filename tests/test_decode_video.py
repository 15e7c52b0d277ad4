"""Clips that PyAV reads: video files and time spans of them."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from media import make_numbered_frames, read_frame_numbers, write_video

from lrcn.common.decode import UnreadableClipError, count_frames, iter_frames, read_source_stat

SIZE = 32


def decode(source, **span):
    return list(iter_frames(source, image_size=SIZE, **span))


def read_numbers(source, **span):
    return read_frame_numbers(frame.pixels for frame in decode(source, **span))


def make_noise(num_frames, *, height=64, width=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num_frames, height, width, 3), np.uint8)


def make_waves(num_frames):
    """Frames that compress as films do: a few hundred bytes each."""
    t, y, x = np.ogrid[:num_frames, :240, :320]
    red, green = 128 + 99 * np.sin((x + 3 * t) / 9 + y * 0), 128 + 99 * np.cos((y - 2 * t) / 7)
    waves = np.stack(np.broadcast_arrays(red, green, 5.0 * t), axis=-1)
    return (
        (waves + np.random.default_rng(0).normal(0, 3, waves.shape)).clip(0, 255).astype(np.uint8)
    )


def copy_packets(source, target, *, container_options=None, skip=0):
    """Copies a video without re-encoding, from packet `skip` on."""
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", options=container_options or {}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [packet for packet in reader.demux(video=0) if packet.size]
        for packet in packets[skip:]:
            packet.stream = stream
            writer.mux(packet)
    return target


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
    assert np.allclose(np.diff(seconds), 1 / 25)


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


def write_song(path, *, has_cover):
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000, layout="mono")
        if has_cover:
            cover = container.add_stream("png", rate=1)
            cover.width = cover.height = 64
            cover.pix_fmt = "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(make_noise(1)[0], format="rgb24")
            container.mux(cover.encode(picture))
            container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize("has_cover", [False, True])
def test_sound_without_pictures(tmp_path, has_cover):
    path = write_song(tmp_path / "song.mp4", has_cover=has_cover)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == has_cover
    with pytest.raises(UnreadableClipError, match=r"song\.mp4: expected a video stream.*audio"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 100])
def test_no_video_at_all(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    for call in (decode, count_frames):
        with pytest.raises(UnreadableClipError, match=r"clip\.mp4: .*before the first frame"):
            call(path)


def cut(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("clip.mp4", "libx264", 0.3),
        ("clip.mp4", "libx264", 0.95),
        ("clip.mp4", "mpeg4", 0.6),
        ("clip.avi", "mpeg4", 0.3),
        ("clip.avi", "mpeg4", 0.95),
        ("clip.mkv", "libx264", 0.3),
        ("clip.mkv", "libx264", 0.6),
        ("clip.webm", "libvpx-vp9", 0.6),
    ],
)
def test_cut_off_video_names_the_frame_reached(tmp_path, name, codec, kept):
    path = write_video(
        tmp_path / f"whole_{name}", make_noise(25), fps=5, codec=codec, options={"g": "5"}
    )
    # With the index in front, as streaming sites write it, the cut file still opens.
    path = copy_packets(path, tmp_path / name, container_options={"movflags": "faststart"})
    assert count_frames(path) == 25
    cut(path, kept)
    with pytest.raises(UnreadableClipError, match=r"it ended at \d\.\d+ s, after frame \d+: "):
        decode(path)
    with pytest.raises(UnreadableClipError, match=r"cut off"):
        count_frames(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_sound_that_is_longer_is_not_taken_for_a_cut(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 64
        audio = container.add_stream("mp2", rate=16000, layout="mono")
        for pixels in make_numbered_frames(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels.copy(), format="rgb24")))
        container.mux(video.encode(None))
        for i in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 1152 * i, Fraction(1, 16000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    assert read_numbers(tmp_path / name) == list(range(10))


def test_cut_off_mp4_without_its_index(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(10))
    cut(path, 0.9)
    with pytest.raises(UnreadableClipError, match=r"before the first frame: .*Get it again"):
        decode(path)


def damage(path, *, at, num_bytes):
    content = bytearray(path.read_bytes())
    begin = int(at * len(content))
    content[begin : begin + num_bytes] = np.random.default_rng(0).bytes(num_bytes)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.mp4", "libx264", "yuv420p"),
        ("clip.mkv", "libx264", "yuv420p"),
        ("clip.ts", "libx264", "yuv420p"),
        ("clip.avi", "mpeg4", "yuv420p"),
        ("clip.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_damage_in_the_middle_is_an_error(tmp_path, name, codec, pix_fmt):
    options = {"g": "10"} if codec != "mjpeg" else {}
    path = write_video(
        tmp_path / name, make_waves(30), codec=codec, pix_fmt=pix_fmt, options=options
    )
    damage(path, at=0.5, num_bytes=2000)
    with pytest.raises(UnreadableClipError, match=r"it ended at 0\.\d+ s, after frame \d+: "):
        decode(path)


def test_frame_that_the_decoder_patches_up_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_waves(30), codec="mpeg4")
    content = path.read_bytes()
    for at in (0.3, 0.4, 0.6, 0.7):
        path.write_bytes(content)
        damage(path, at=at, num_bytes=10)
        with pytest.raises(UnreadableClipError, match="it ended"):
            decode(path)


def test_gap_that_the_decoder_does_not_see_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.ts", make_numbered_frames(30), options={"bf": "0"})
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    del packets[len(packets) // 2]
    path.write_bytes(b"".join(packets))
    with pytest.raises(UnreadableClipError, match=r"it ended at 0\.\d+ s, .*: data is missing"):
        decode(path)


def test_cut_off_matroska_that_states_only_the_duration_of_the_file(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_noise(25), fps=5)
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"OTHERTAG"))
    assert count_frames(path) == 25
    cut(path, 0.6)
    with pytest.raises(UnreadableClipError, match=r"after frame \d+: its header states 5\.000 s"):
        decode(path)


def test_damage_at_the_start_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_waves(30), options={"g": "10"})
    damage(path, at=0.1, num_bytes=500)
    with pytest.raises(UnreadableClipError, match="before the first frame"):
        decode(path)


def test_errors_are_not_logged_by_ffmpeg(tmp_path, capfd):
    path = write_video(tmp_path / "clip.mp4", make_waves(30))
    damage(path, at=0.5, num_bytes=2000)
    capfd.readouterr()
    with pytest.raises(UnreadableClipError):
        decode(path)
    assert capfd.readouterr() == ("", "")


OPEN_GROUPS = {"g": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=10:scenecut=0"}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
@pytest.mark.parametrize("options", [{"g": "10"}, {"g": "10", "bf": "0"}, OPEN_GROUPS])
def test_time_span_is_exact_to_the_frame(tmp_path, name, options):
    frames = np.concatenate([make_numbered_frames(30)] * 4)
    path = write_video(tmp_path / name, frames, options=options)
    seconds = [frame.timestamp_sec for frame in decode(path)]
    for first, last in [(0, 10), (34, 35), (45, 75), (100, 120)]:
        end_sec = None if last == 120 else seconds[last]
        span = decode(path, start_sec=seconds[first], end_sec=end_sec)
        assert [frame.index for frame in span] == list(range(last - first))
        assert [frame.timestamp_sec for frame in span] == seconds[first:last]
        assert read_frame_numbers(frame.pixels for frame in span) == [
            i % 30 for i in range(first, last)
        ]
        assert count_frames(path, start_sec=seconds[first], end_sec=end_sec) == last - first


def test_span_of_a_long_video_is_not_decoded_from_its_beginning(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(60), fps=2, options={"g": "4"})
    content = bytearray(path.read_bytes())
    content[len(content) // 10 : len(content) // 5] = bytes(len(content) // 5 - len(content) // 10)
    path.write_bytes(content)
    with pytest.raises(UnreadableClipError):
        decode(path)
    assert len(decode(path, start_sec=25.0)) == 10


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
def test_span_without_frames_names_the_end_of_the_video(tmp_path, name):
    path = write_video(tmp_path / name, make_numbered_frames(30))
    for span in ({"start_sec": 17.0}, {"start_sec": 17.0, "end_sec": 19.0}):
        with pytest.raises(UnreadableClipError, match=r"clip\.\w+: .*17 <= .*1\.\d+ s\. Correct"):
            decode(path, **span)
    with pytest.raises(UnreadableClipError, match=r"0\.11 <= time < 0\.115"):
        decode(path, start_sec=0.11, end_sec=0.115)


def test_video_cut_without_re_encoding_may_start_amid_a_group(tmp_path):
    path = write_video(tmp_path / "whole.mkv", make_numbered_frames(30), options=OPEN_GROUPS)
    path = copy_packets(path, tmp_path / "clip.mkv", skip=5)
    assert read_numbers(path) == list(range(10, 30))


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
