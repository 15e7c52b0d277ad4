"""Files without pictures that move: each is an error that says what they are."""

import av
import pytest
from media import decode, make_numbered_frames, write_video
from refusals import refusal
from video_data import write_song

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames


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
