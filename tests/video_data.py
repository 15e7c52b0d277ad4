"""Reads and writes small videos for the tests of decoding."""

import av
import numpy as np
from media import decode, read_frame_numbers


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
