"""Reads and writes small videos for the tests of decoding."""

import io
from fractions import Fraction

import av
import numpy as np
from media import decode, read_frame_numbers
from PIL import Image

from lrcn.common.clips.span import WHOLE


def read_numbers(source, span=WHOLE):
    return read_frame_numbers(frame.pixels for frame in decode(source, span))


def make_noise(num_frames, *, height=64, width=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num_frames, height, width, 3), np.uint8)


def copy_packets(source, target, *, container_options=None, skip=0, last_times=1):
    """Copies a video without re-encoding, from packet `skip` on, the last for so many times as
    long.
    """
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", options=container_options or {}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [packet for packet in reader.demux(video=0) if packet.size]
        packets[-1].duration *= last_times
        for packet in packets[skip:]:
            packet.stream = stream
            writer.mux(packet)
    return target


def write_motion_jpeg(path, picture, *, orientation):
    """Writes a picture three times, as JPEGs with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", exif=exif, quality=95)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.open()
        for i in range(3):
            packet = av.Packet(content.getvalue())
            packet.stream, packet.is_keyframe = stream, True
            packet.pts, packet.dts, packet.duration, packet.time_base = i, i, 1, Fraction(1, 25)
            container.mux(packet)
    return path


def write_song(path, *, has_cover=False):
    """Writes a file of sound, and with a cover of a picture that is no video."""
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


def cut(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


def cut_before_frame(path, number, *, kept_bytes=0):
    """Cuts a video off before a frame, or keeps some bytes of that one's item."""
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[number] + kept_bytes])


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


def state_frames(path, old, new):
    """Has the header of an AVI state another number of frames."""
    content = path.read_bytes()
    # AVISTREAMHEADER.dwLength is its ninth number, after the chunk's name and size.
    place = content.index(b"strh") + 8 + 8 * 4
    assert content[place : place + 4] == old.to_bytes(4, "little")
    path.write_bytes(content[:place] + new.to_bytes(4, "little") + content[place + 4 :])
