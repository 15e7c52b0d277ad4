"""Videos that are damaged, cut off or none: each is an error that says how far it was read."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import SIZE, decode, make_numbered_frames, write_video
from video_data import copy_packets, make_noise, read_numbers

from lrcn.common.decode import (
    UnreadableClipError,
    count_frames,
    estimate_num_frames,
    iter_frames,
)


def make_waves(num_frames):
    """Frames that compress as films do: a few hundred bytes each."""
    t, y, x = np.ogrid[:num_frames, :240, :320]
    red, green = 128 + 99 * np.sin((x + 3 * t) / 9 + y * 0), 128 + 99 * np.cos((y - 2 * t) / 7)
    waves = np.stack(np.broadcast_arrays(red, green, 5.0 * t), axis=-1)
    return (
        (waves + np.random.default_rng(0).normal(0, 3, waves.shape)).clip(0, 255).astype(np.uint8)
    )


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


@pytest.mark.parametrize(
    ("name", "codec"), [("labels.txt", "ansi"), ("x.nfo", "ansi"), ("x.idf", "idf")]
)
def test_text_is_no_video(tmp_path, name, codec):
    path = tmp_path / name
    path.write_bytes(b"clip_1.mp4 walk\n" * 800)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == codec
    for call in (decode, count_frames, estimate_num_frames):
        with pytest.raises(UnreadableClipError, match=rf"{name}: expected a video, .*\({codec}\)"):
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
        ("clip.flv", "flv1", 0.6),
        ("clip.wmv", "wmv2", 0.6),
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


@pytest.mark.parametrize("kept", [0.6, 0.8])
def test_a_short_matroska_that_is_cut_is_noticed(tmp_path, kept):
    path = write_video(tmp_path / "clip.mkv", make_noise(25), fps=25, options={"g": "5"})
    assert count_frames(path) == 25
    cut(path, kept)
    with pytest.raises(UnreadableClipError, match=r"its header states 1\.000 s"):
        decode(path)


def test_a_duration_of_another_form_is_passed_over(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_numbered_frames(10))
    content = path.read_bytes()
    assert b"00:00:00.400000000" in content
    path.write_bytes(content.replace(b"00:00:00.400000000", b"0.400000000 second"))
    assert read_numbers(path) == list(range(10))
    assert estimate_num_frames(path) == (10, 25)


def test_more_frames_stated_than_bytes_there_are_not_believed(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(10), codec="mpeg4")
    content = path.read_bytes()
    header = content.index(b"strh")
    # AVISTREAMHEADER.dwLength is its ninth number, after the chunk's name and size.
    place = header + 8 + 8 * 4
    assert content[place : place + 4] == (10).to_bytes(4, "little")
    path.write_bytes(content[:place] + (2**31 - 1).to_bytes(4, "little") + content[place + 4 :])
    num_frames, _ = estimate_num_frames(path)
    assert num_frames <= len(content)


@pytest.mark.parametrize(
    ("name", "codec", "start_sec"),
    [
        ("clip.mp4", "mpeg4", 0),
        ("clip.mkv", "mpeg4", 0),
        ("clip.avi", "mpeg4", 0),
        ("clip.flv", "flv1", 0),
        ("clip.flv", "flv1", 2),
        ("clip.wmv", "wmv2", 0),
        ("clip.wmv", "wmv2", 2),
    ],
)
def test_sound_that_is_longer_is_not_taken_for_a_cut(tmp_path, name, codec, start_sec):
    with av.open(str(tmp_path / name), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width = video.height = 64
        sound, rate = ("pcm_s16le", 22050) if codec == "flv1" else ("mp2", 16000)
        audio = container.add_stream(sound, rate=rate, layout="mono")
        for i, pixels in enumerate(make_numbered_frames(10)):
            picture = av.VideoFrame.from_ndarray(pixels.copy(), format="rgb24")
            picture.pts, picture.time_base = 25 * start_sec + i, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for i in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 1152 * i, Fraction(1, rate)
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


def test_damage_is_found_by_one_thread_however_many_cores_there_are(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(25))
    frames = iter_frames(path, image_size=SIZE)
    next(frames)
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    assert names and not [name for name in names if name.startswith("av:")]
    frames.close()


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


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mpg", "mpeg1video"), ("clip.vob", "mpeg2video"), ("clip.webm", "libvpx")],
)
def test_videos_joined_as_files_are_an_error_since_their_times_start_anew(tmp_path, name, codec):
    # With --fps, no frame of the second would be taken; and 0.1 s are two moments.
    path = write_video(tmp_path / name, make_numbered_frames(20), codec=codec)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(
        UnreadableClipError,
        match=r"ended at 0\.760 s, after frame 19: the next frame is at 0\.000 s, as where videos "
        r"were joined.*re-encode",
    ):
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
