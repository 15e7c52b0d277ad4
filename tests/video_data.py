"""Reads and writes small videos for the tests of decoding."""

import io
from fractions import Fraction

import av
import numpy as np
from media import decode, read_frame_numbers
from PIL import Image


def read_numbers(source, **span):
    return read_frame_numbers(frame.pixels for frame in decode(source, **span))


def make_noise(num_frames, *, height=64, width=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num_frames, height, width, 3), np.uint8)


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
