"""Files without pictures that move: each is an error that says what they are."""

import av
import pytest
from media import decode, make_numbered_frames, write_video
from refusals import refusal
from video_data import write_song

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames

_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n0.ts\n#EXTINF:1,\nlost.ts\n#EXT-X-ENDLIST\n"


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
    ("name", "content"),
    [
        ("list.m3u8", _HLS),
        # FFmpeg tells this one by what is in it.
        ("clip.mp4", "ffconcat version 1.0\nfile 0.ts\nfile 0.ts\n"),
    ],
)
def test_a_list_of_videos_is_none(tmp_path, name, content):
    """Of a file that is missing FFmpeg says nothing, and what changes in one nobody would see."""
    write_video(tmp_path / "0.ts", make_numbered_frames(4))
    path = tmp_path / name
    path.write_text(content)
    for call in (decode, estimate_num_frames):
        with refusal(f"{path}: expected a video, received a list of files", UnreadableClipError):
            call(path)


def test_a_codec_that_nobody_knows(tmp_path):
    path = write_video(tmp_path / "clip.avi", make_numbered_frames(3), codec="mpeg4")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZZ"))
    for call in (decode, estimate_num_frames):
        with refusal(f"{path}: expected a codec that FFmpeg can decode", UnreadableClipError):
            call(path)


@pytest.mark.parametrize("start_sec", [None, 30.0])
def test_a_video_whose_index_has_no_frame(tmp_path, start_sec):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(3))
    content = bytearray(path.read_bytes())
    sizes = content.index(b"stsz")
    content[sizes + 12 : sizes + 16] = bytes(4)  # how many there are
    path.write_bytes(content)
    for call in (decode, count_frames):
        with refusal(
            f"{path}: expected a whole video, but it ended before the first frame: no frame can be "
            "decoded. The file is damaged",
            UnreadableClipError,
        ):
            call(path, span=Span(start_sec))


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
