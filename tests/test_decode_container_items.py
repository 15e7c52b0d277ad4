"""Videos that end amid an item of their container; and items that state no size."""

import re

import av
import pytest
from media import decode, make_numbered_frames, write_video
from video_data import (
    copy_packets,
    cut,
    cut_before_frame,
    make_noise,
    state_frames,
    write_with_sound,
)

from lrcn.common.pixels.decode import UnreadableClipError, count_frames


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


# Packs of MPEG-1 and of DVDs, whose heads may be filled up.
@pytest.mark.parametrize(("name", "fill"), [("clip.mpg", 0), ("clip.vob", 0), ("clip.vob", 3)])
def test_mpg_that_is_cut_amid_its_sound(tmp_path, name, fill):
    pictures = make_numbered_frames(25)
    path = write_with_sound(tmp_path / name, pictures, codec="mpeg2video", start_sec=0, sound_sec=1)
    filled = bytes([0xF8 + fill]) + fill * b"\xff"
    path.write_bytes(
        re.sub(rb"(?s)(\0\0\x01\xba.{9})\xf8", lambda head: head[1] + filled, path.read_bytes())
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


@pytest.mark.parametrize("has_old_index", [False, True])
def test_avi_that_is_cut_behind_its_first_gigabyte(tmp_path, has_old_index):
    # Where a segment is full, an index of its frames ends it, and the next one begins.
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(25), codec="ffv1")
    with av.open(str(path)) as container:
        behind = [packet.pos for packet in container.demux(video=0) if packet.size][12] - 8
    content = path.read_bytes()
    movi, end = content.index(b"movi"), content.index(b"idx1")
    first = content[movi:behind] + _make_chunk(b"ix00", bytes(24))
    second = b"AVIX" + _make_chunk(b"LIST", b"movi" + content[behind:end])
    first, second = _make_chunk(b"LIST", first), _make_chunk(b"RIFF", second)
    if has_old_index:  # for programs that know the first segment alone
        first += _make_chunk(b"idx1", content[end + 8 :][: 12 * 16])
    path.write_bytes(content[: movi - 8] + first + second)
    assert count_frames(path) == 25
    cut_before_frame(path, 20)
    with pytest.raises(UnreadableClipError, match=r"after frame 19: \d+ bytes of those that it s"):
        decode(path)


def _make_chunk(kind, content):
    return kind + len(content).to_bytes(4, "little") + content


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


@pytest.mark.parametrize("has_large_box", [False, True])
def test_mp4_that_is_cut_between_its_last_frames(tmp_path, has_large_box):
    whole = write_video(tmp_path / "whole.mp4", make_noise(25), options={"bf": "0"})
    path = copy_packets(whole, tmp_path / "clip.mp4", container_options={"movflags": "faststart"})
    if has_large_box:  # whose size, as of one beyond 4 GiB, takes 64 bits, for which there is room
        content = path.read_bytes()
        mdat = content.index(b"mdat") - 4
        size = int.from_bytes(content[mdat : mdat + 4]) + 8
        assert content[mdat - 8 : mdat] == b"\0\0\0\x08free"
        head = b"\0\0\0\1mdat" + size.to_bytes(8)
        path.write_bytes(content[: mdat - 8] + head + content[mdat + 8 :])
    assert count_frames(path) == 25
    cut_before_frame(path, 24)
    reason = r"after frame 23: \d+ bytes of those that it states are not there"
    with pytest.raises(UnreadableClipError, match=reason):
        decode(path)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.avi", "rawvideo", "bgr24"),
        ("clip.mkv", "rawvideo", "yuv420p"),  # of a cluster for each frame
        ("clip.mkv", "mpeg4", "yuv420p"),  # of one for all
        ("clip.mxf", "mpeg2video", "yuv420p"),
        ("clip.wmv", "huffyuv", "yuv422p"),
    ],
)
@pytest.mark.parametrize("num_zero", [2, 3])
def test_zeros_in_place_of_frames_that_never_came_are_noticed(
    tmp_path, name, codec, pix_fmt, num_zero
):
    # Of a download that was stopped, or after a power cut, a file may have its full size.
    path = write_video(tmp_path / name, make_numbered_frames(25), codec=codec, pix_fmt=pix_fmt)
    assert count_frames(path) == 25
    content = path.read_bytes()
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    first, last = places[22], [*places, len(content)][22 + num_zero]
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    with pytest.raises(UnreadableClipError, match=r"from byte \d+ on, zeros stand"):
        decode(path)


def test_zeros_in_place_of_what_a_camcorder_sent_are_noticed(tmp_path):
    path = tmp_path / "clip.avi"
    write_video(path, make_noise(6, height=576, width=720), codec="dvvideo")
    # Pictures and sound are one stream of DV, whose chunks have a name of their own (type 1).
    content = path.read_bytes().replace(b"vidsdvsd", b"iavsdvsd").replace(b"00dc", b"00__")
    path.write_bytes(content)
    assert count_frames(path) == 6
    fourth = content.rindex(b"00__", 0, content.index(b"idx1") - 2 * 144_000)
    path.write_bytes(content[:fourth] + bytes(len(content) - fourth))
    with pytest.raises(UnreadableClipError, match=r"from byte \d+ on, zeros stand"):
        decode(path)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "container_options", "item", "size_before"),
    [
        ("clip.flv", "flashsv", "bgr24", {}, b"\t\0", 4),
        ("clip.mkv", "rawvideo", "yuv420p", {"live": "1"}, b"\xa3", 0),
        ("clip.mp4", "mpeg4", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}, b"moof", 4),
        ("clip.mpg", "mpeg2video", "yuv420p", {}, b"\0\0\1\xba", 0),
        ("clip.ogv", "libvpx", "yuv420p", {}, b"OggS", 0),
    ],
)
def test_zeros_where_more_follows_are_noticed(
    tmp_path, name, codec, pix_fmt, container_options, item, size_before
):
    # Where the packs of an MPG begin amid a frame, its decoder tells.
    pictures, kept = (make_numbered_frames(200), 0.25) if "mpg" in name else (make_noise(50), 0.75)
    path = write_video(
        tmp_path / name,
        pictures,
        codec=codec,
        pix_fmt=pix_fmt,
        container_options=container_options,
    )
    content = path.read_bytes()
    assert count_frames(path) == len(pictures)
    first = content.index(item, int(len(content) * kept)) - size_before
    path.write_bytes(content[:first] + bytes(len(content) - first))
    with pytest.raises(UnreadableClipError, match=r"from byte \d+ on, zeros stand"):
        decode(path)


@pytest.mark.parametrize(
    "text",
    [
        "this is a note",
        "in this folder",
        "the free text of somebody",
        "<?xml version='1.0'?>",
        "\n\n",
        "的",
    ],
)
@pytest.mark.parametrize(
    ("name", "container_options"),
    [
        ("clip.mkv", {}),
        ("clip.mkv", {"live": "1"}),
        ("clip.mp4", {}),
        ("clip.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("clip.flv", {}),
    ],
)
def test_text_behind_the_end_is_no_damage(tmp_path, name, container_options, text):
    path = tmp_path / name
    write_video(path, make_numbered_frames(25), container_options=container_options)
    path.write_bytes(path.read_bytes() + text.encode())
    assert count_frames(path) == 25


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_what_fills_a_file_up_behind_all_that_is_stated_is_no_damage(tmp_path, filling):
    for name in ("clip.avi", "clip.flv", "clip.mkv", "clip.mp4", "clip.ogv", "clip.wmv"):
        codec = {"clip.flv": "flv1", "clip.ogv": "libvpx"}.get(name, "mpeg4")
        path = write_video(tmp_path / name, make_numbered_frames(25), codec=codec)
        path.write_bytes(path.read_bytes() + 4096 * filling)
        assert count_frames(path) == 25
    # Of fragments, where another might follow, the index behind the last says that none does.
    path = write_video(
        tmp_path / "fragments.mp4",
        make_numbered_frames(25),
        container_options={"movflags": "frag_keyframe+empty_moov"},
    )
    path.write_bytes(path.read_bytes() + 4096 * filling)
    assert count_frames(path) == 25


@pytest.mark.parametrize(("end", "filling"), [(True, b"\0"), (True, b"\xff"), (False, b"\xff")])
def test_what_fills_an_mpg_up_behind_its_end_is_no_damage(tmp_path, end, filling):
    path = write_video(tmp_path / "clip.mpg", make_numbered_frames(25), codec="mpeg2video")
    path.write_bytes(path.read_bytes() + end * b"\0\0\1\xb9" + 4096 * filling)
    assert count_frames(path) == 25
