"""Videos that are cut off, by what their headers state; and headers that are no sign of it."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from media import decode, make_numbered_frames, write_video
from video_data import copy_packets, make_noise, read_numbers

from lrcn.common.decode import UnreadableClipError, count_frames, estimate_num_frames


def cut(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


def write_with_sound(path, pictures, *, codec="mpeg4", start_sec, sound_start_sec=0, sound_sec):
    """Writes a video of 25 frames a second; pictures and sound begin and last as is said."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width = video.height = 64
        sound, rate = ("pcm_s16le", 22050) if codec == "flv1" else ("mp2", 16000)
        audio = container.add_stream(sound, rate=rate, layout="mono")
        for i, pixels in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(pixels.copy(), format="rgb24")
            picture.pts, picture.time_base = 25 * start_sec + i, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for i in range(sound_sec * rate // 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = rate * sound_start_sec + 1152 * i
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


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


@pytest.mark.parametrize(("kept", "num_frames"), [(0.4, 11), (0.76, 25), (0.9, 25)])
def test_cut_off_wmv_with_sound(tmp_path, kept, num_frames):
    path = write_with_sound(
        tmp_path / "clip.wmv", make_noise(25), codec="wmv2", start_sec=0, sound_sec=2
    )
    assert count_frames(path) == 25
    cut(path, kept)
    last = num_frames - 1
    with pytest.raises(UnreadableClipError, match=rf"after frame {last}: \d+ bytes of those that "):
        decode(path)


def test_wmv_that_was_recorded_of_a_stream_states_no_size(tmp_path):
    path = write_video(tmp_path / "clip.wmv", make_noise(25), fps=5, codec="wmv2")
    content = path.read_bytes()
    data = content.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 16
    path.write_bytes(content[:data] + bytes(8) + content[data + 8 :])
    assert count_frames(path) == 25


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_wmv_whose_header_has_no_size_that_can_be_is_read_as_far_as_ffmpeg_does(tmp_path, byte):
    path = write_video(tmp_path / "clip.wmv", make_noise(25), fps=5, codec="wmv2")
    content = path.read_bytes()
    path.write_bytes(content[:16] + byte * 8 + content[24:])
    assert count_frames(path) == 25


def cut_before_frame(path, number, *, kept_bytes=0):
    """Cuts a video off before a frame, or keeps some bytes of that one's item."""
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[number] + kept_bytes])


@pytest.mark.parametrize(
    ("name", "codec", "kept_bytes"),
    [
        ("clip.avi", "ffv1", 0),
        ("clip.flv", "flv1", 5),
        ("clip.mxf", "mpeg2video", 0),
        ("clip.mxf", "mpeg2video", 5),
        ("clip.ogv", "libvpx", 5),
    ],
)
def test_video_that_lacks_less_than_a_second_is_noticed(tmp_path, name, codec, kept_bytes):
    path = write_video(tmp_path / name, make_numbered_frames(25), codec=codec)
    assert count_frames(path) == 25
    cut_before_frame(path, 16, kept_bytes=kept_bytes)
    message = r"after frame \d+: \d+ bytes of those that it states are not there"
    with pytest.raises(UnreadableClipError, match=message):
        decode(path)


def test_mpg_that_is_cut_amid_its_sound(tmp_path):
    pictures = make_numbered_frames(25)
    path = write_with_sound(
        tmp_path / "clip.mpg", pictures, codec="mpeg2video", start_sec=0, sound_sec=1
    )
    assert count_frames(path) == 25
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(audio=0) if packet.pos]
    path.write_bytes(path.read_bytes()[: places[len(places) // 2] + 50])
    message = r"after frame \d+: \d+ bytes of those that it states are not there"
    with pytest.raises(UnreadableClipError, match=message):
        decode(path)


def test_mxf_that_was_never_closed_is_read_as_far_as_it_goes(tmp_path):
    path = write_video(tmp_path / "clip.mxf", make_numbered_frames(25), codec="mpeg2video")
    content = path.read_bytes()
    footer = content.rindex(content[:13] + b"\4")  # a partition, as the first one is, and the last
    assert content.index(footer.to_bytes(8)) < 100  # in the first partition
    path.write_bytes(content[:footer].replace(footer.to_bytes(8), bytes(8)))
    assert count_frames(path) == 25
    cut_before_frame(path, 20, kept_bytes=5)
    with pytest.raises(UnreadableClipError, match=r"after frame 19: \d+ bytes of those that it s"):
        decode(path)


def test_avi_that_was_recorded_of_a_stream_states_no_size(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(25), codec="ffv1")
    state_frames(path, 25, 1 << 30)
    content = path.read_bytes()
    size = content.index(b"movi") - 4
    for unknown in (bytes(4), b"\xff" * 4):
        path.write_bytes(content[:size] + unknown + content[size + 4 :])
        assert count_frames(path) == 25
        cut_before_frame(path, 20, kept_bytes=5)
        with pytest.raises(UnreadableClipError, match="cut off"):
            decode(path)


@pytest.mark.parametrize(("box", "more_bytes"), [(b"moof", 10), (b"mdat", -4), (b"mdat", 4)])
def test_mp4_that_is_cut_in_its_last_fragment(tmp_path, box, more_bytes):
    # As a camera or a stream writes it; what is behind the last fragment is an index.
    movflags = {"movflags": "frag_keyframe+empty_moov"}
    path = write_video(
        tmp_path / "clip.mp4", make_noise(25), options={"g": "5"}, container_options=movflags
    )
    content = path.read_bytes()
    assert count_frames(path) == 25
    path.write_bytes(content[: content.rindex(box) + more_bytes])
    with pytest.raises(UnreadableClipError, match=r"after frame 19: \d+ bytes of those that it s"):
        decode(path)


def test_avi_that_is_cut_between_two_frames(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_noise(25), fps=5, codec="mpeg4")
    cut_before_frame(path, 15)
    with pytest.raises(UnreadableClipError, match=r"after frame 14: its header states 5\.000 s"):
        decode(path)


def test_mp4_that_is_cut_between_its_last_frames(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", make_noise(25), options={"bf": "0"})
    path = copy_packets(whole, tmp_path / "clip.mp4", container_options={"movflags": "faststart"})
    assert count_frames(path) == 25
    cut_before_frame(path, 24)
    reason = r"after frame 23: \d+ bytes of those that it states are not there"
    with pytest.raises(UnreadableClipError, match=reason):
        decode(path)


def test_mp4_that_begins_late_and_leaves_frames_out(tmp_path):
    frames = make_numbered_frames(1).repeat(125, axis=0)
    path = write_with_sound(tmp_path / "clip.mp4", frames, start_sec=3, sound_sec=4)
    content = path.read_bytes()
    # The second edit of the pictures, behind an empty one of three seconds: one second, not five.
    edits = content.index(struct.pack(">IIi", 2, 3000, -1)) + 16
    assert content[edits : edits + 4] == struct.pack(">I", 5000)
    path.write_bytes(content[:edits] + struct.pack(">I", 1000) + content[edits + 4 :])
    assert count_frames(path) == 25


def test_cut_off_flv_that_starts_late(tmp_path):
    # As of a recording that joined a stream; what it states is how long it is.
    pts = range(200, 225)
    path = write_video(tmp_path / "clip.flv", make_noise(25), fps=5, codec="flv1", pts=pts)
    assert estimate_num_frames(path) == (25, 5)
    assert count_frames(path) == 25
    cut_before_frame(path, 15)
    with pytest.raises(UnreadableClipError, match=r"after frame 14: its header states 5\.\d+ s"):
        decode(path)


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


def test_more_frames_stated_than_bytes_there_are_not_believed(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(10), codec="mpeg4")
    state_frames(path, 10, 2**31 - 1)
    num_frames, _ = estimate_num_frames(path)
    assert num_frames <= path.stat().st_size


def state_frames(path, old, new):
    """Has the header of an AVI state another number of frames."""
    content = path.read_bytes()
    # AVISTREAMHEADER.dwLength is its ninth number, after the chunk's name and size.
    place = content.index(b"strh") + 8 + 8 * 4
    assert content[place : place + 4] == old.to_bytes(4, "little")
    path.write_bytes(content[:place] + new.to_bytes(4, "little") + content[place + 4 :])


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


def test_cut_off_matroska_with_sound_that_starts_late(tmp_path):
    path = write_with_sound(
        tmp_path / "clip.mkv", make_noise(125), start_sec=10, sound_start_sec=10, sound_sec=5
    )
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"OTHERTAG"))
    assert count_frames(path) == 125
    cut(path, 0.6)
    with pytest.raises(UnreadableClipError, match=r"after frame \d+: its header states 5\.\d+ s"):
        decode(path)
