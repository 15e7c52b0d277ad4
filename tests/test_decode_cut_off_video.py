"""Videos that are cut off, by how long their headers state that they last."""

import numpy as np
import pytest
from media import SIZE, decode, write_video
from video_data import (
    copy_packets,
    cut,
    cut_before_frame,
    make_noise,
    write_with_sound,
)

from lrcn.common.pixels.decode import (
    UnreadableClipError,
    count_frames,
    estimate_num_frames,
    read_frames,
)
from lrcn.common.pixels.views import VIEWS


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


def test_cut_off_mp4_without_its_index(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(10))
    cut(path, 0.9)
    with pytest.raises(UnreadableClipError, match=r"before the first frame: .*Get it again"):
        decode(path)


@pytest.mark.parametrize("kept", [0.6, 0.8])
def test_a_short_matroska_that_is_cut_is_noticed(tmp_path, kept):
    path = write_video(tmp_path / "clip.mkv", make_noise(25), fps=25, options={"g": "5"})
    assert count_frames(path) == 25
    cut(path, kept)
    with pytest.raises(UnreadableClipError, match=r"its header states 1\.000 s"):
        decode(path)


def test_cut_off_matroska_that_states_only_the_duration_of_the_file(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_noise(25), fps=5)
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"OTHERTAG"))
    assert count_frames(path) == 25
    cut(path, 0.6)
    with pytest.raises(UnreadableClipError, match=r"after frame \d+: its header states 5\.000 s"):
        decode(path)


def test_avi_that_is_cut_between_two_frames(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_noise(25), fps=5, codec="mpeg4")
    cut_before_frame(path, 15)
    with pytest.raises(UnreadableClipError, match=r"after frame 14: its header states 5\.000 s"):
        decode(path)


def test_cut_off_flv_that_starts_late(tmp_path):
    # As of a recording that joined a stream; what it states is how long it is.
    pts = range(200, 225)
    path = write_video(tmp_path / "clip.flv", make_noise(25), fps=5, codec="flv1", pts=pts)
    assert estimate_num_frames(path) == (25, 5)
    assert count_frames(path) == 25
    cut_before_frame(path, 15)
    with pytest.raises(UnreadableClipError, match=r"after frame 14: its header states 5\.\d+ s"):
        decode(path)


def test_cut_off_matroska_with_sound_that_starts_late(tmp_path):
    path = write_with_sound(
        tmp_path / "clip.mkv", make_noise(125), start_sec=10, sound_start_sec=10, sound_sec=5
    )
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"OTHERTAG"))
    assert count_frames(path) == 125
    cut(path, 0.6)
    with pytest.raises(UnreadableClipError, match=r"after frame \d+: its header states 5\.\d+ s"):
        decode(path)


def test_frames_before_a_cut_are_read(tmp_path):
    path = write_video(
        tmp_path / "clip.mp4", make_noise(20), container_options={"movflags": "faststart"}
    )
    whole = decode(path)
    cut(path, 0.5)
    found = read_frames(path, [0, 2], image_size=SIZE, views=VIEWS["one"])
    assert found.keys() == {0, 2}
    for number, pixels in found.items():
        np.testing.assert_array_equal(pixels, whole[number].pixels)
    with pytest.raises(UnreadableClipError, match="cut off"):
        read_frames(path, [0, 19], image_size=SIZE, views=VIEWS["one"])
