"""How far a stated duration is believed: what is no sign that a video was cut off."""

import struct

import pytest
from media import decode, make_numbered_frames, write_video
from video_data import (
    copy_packets,
    read_numbers,
    state_frames,
    write_with_sound,
)

from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames


def test_mp4_that_begins_late_and_leaves_frames_out(tmp_path):
    frames = make_numbered_frames(1).repeat(125, axis=0)
    path = write_with_sound(tmp_path / "clip.mp4", frames, start_sec=3, sound_sec=4)
    content = path.read_bytes()
    # The second edit of the pictures, behind an empty one of three seconds: one second, not five.
    edits = content.index(struct.pack(">IIi", 2, 3000, -1)) + 16
    assert content[edits : edits + 4] == struct.pack(">I", 5000)
    path.write_bytes(content[:edits] + struct.pack(">I", 1000) + content[edits + 4 :])
    assert count_frames(path) == 25


def test_a_duration_of_another_form_is_passed_over(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_numbered_frames(10))
    content = path.read_bytes()
    assert b"00:00:00.400000000" in content
    path.write_bytes(content.replace(b"00:00:00.400000000", b"0.400000000 second"))
    assert read_numbers(path) == list(range(10))
    assert estimate_num_frames(path) == (10, 25)


def test_last_frame_of_a_variable_rate_may_be_shown_for_long(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_numbered_frames(4), pts=[0, 50, 100, 150])
    content, known = path.read_bytes(), b"00:00:06.040000000"
    assert content.count(known) == 1
    path.write_bytes(content.replace(known, b"00:00:09.900000000"))
    assert read_numbers(path) == [0, 1, 2, 3]
    path.write_bytes(content.replace(known, b"00:00:10.300000000"))
    with pytest.raises(UnreadableClipError, match=r"after frame 3: its header states 10\.300 s"):
        decode(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_last_frame_that_stands_still_is_no_cut(tmp_path, name):
    # As a recording of a screen on which nothing moves any more.
    whole = write_video(tmp_path / "whole.mp4", make_numbered_frames(4), options={"bf": "0"})
    path = copy_packets(whole, tmp_path / name, last_times=125)
    assert read_numbers(path) == [0, 1, 2, 3]


def test_more_frames_stated_than_bytes_there_are_not_believed(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(10), codec="mpeg4")
    state_frames(path, 10, 2**31 - 1)
    num_frames, _ = estimate_num_frames(path)
    assert num_frames <= path.stat().st_size


@pytest.mark.parametrize(
    ("num_frames", "fps", "few_more", "too_many_more"), [(10, 25, 24, 26), (80, 2, 3, 5)]
)
def test_a_second_or_a_twentieth_less_than_stated_will_do(
    tmp_path, num_frames, fps, few_more, too_many_more
):
    frames = make_numbered_frames(1).repeat(num_frames, axis=0)
    path = write_video(tmp_path / "clip.avi", frames, fps=fps, codec="mpeg4")
    state_frames(path, num_frames, num_frames + few_more)
    assert count_frames(path) == num_frames
    state_frames(path, num_frames + few_more, num_frames + too_many_more)
    with pytest.raises(UnreadableClipError, match="its header states"):
        decode(path)


def test_hours_and_minutes_of_a_stated_duration_count(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_numbered_frames(10))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"00:00:00.400000000", b"99:01:00.400000000"))
    with pytest.raises(UnreadableClipError, match=r"its header states 356460\.400 s"):
        decode(path)
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
    path = write_with_sound(
        tmp_path / name, make_numbered_frames(10), codec=codec, start_sec=start_sec, sound_sec=7
    )
    assert read_numbers(path) == list(range(10))


def test_sound_that_the_header_does_not_tell_of(tmp_path):
    frames = make_numbered_frames(1).repeat(250, axis=0)
    path = write_with_sound(
        tmp_path / "clip.flv", frames, codec="flv1", start_sec=0, sound_start_sec=8, sound_sec=1
    )
    content = bytearray(path.read_bytes())
    assert content[4] == 5  # sound and pictures
    content[4] = 1
    path.write_bytes(content)
    assert count_frames(path) == 250
