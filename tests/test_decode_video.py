"""Video files: formats, names, streams, and what is open or kept while one is read."""

import gc
import os
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from media import SIZE, decode, make_numbered_frames, read_frame_numbers, write_video
from video_data import read_numbers

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import count_frames, estimate_num_frames, iter_frames
from lrcn.common.pixels.source_stat import read_source_stat


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
def test_videos_of_all_formats_give_every_frame_and_its_time(tmp_path, name, codec):
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


def test_a_video_may_say_of_itself_what_is_not_utf8(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(3))
    content = path.read_bytes()
    assert b"VideoHandler" in content
    path.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert read_numbers(path) == [0, 1, 2]
    assert estimate_num_frames(path) == (3, 25)


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
    decode(path, Span(end_sec=0.2))
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
def test_a_video_may_have_any_name(tmp_path, name, monkeypatch):
    shutil.move(write_video(tmp_path / "clip.mp4", make_numbered_frames(3)), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_numbers(name) == [0, 1, 2]


def test_the_state_of_a_video_is_that_of_its_file(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(3))
    stat = path.stat()
    assert read_source_stat(path) == (stat.st_size, stat.st_mtime_ns, "", "")


def test_pyav_is_not_imported_before_a_video_is_met():
    code = "import lrcn.common.pixels.decode, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
