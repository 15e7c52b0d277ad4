"""How many frames a video has, as its header and first packets tell; nothing is decoded."""

import itertools
from pathlib import Path

import av

from lrcn.common.clips.span import Span
from lrcn.common.files.unreadable import UnreadableClipError, choose_remedy, raise_if_machine_lacks
from lrcn.common.pixels.video_stream import DEFAULT_RATE_FPS, find_stated_duration, find_stream

# So many packets tell the size of the others.
_NUM_PACKETS = 200
# They also tell the rate where a higher one is stated than this: that of a recorded screen may be
# 1000, one over the unit of its times. Packets may be large, so those of most videos are not read.
_HIGH_RATE_FPS = 120.0


def estimate_num_frames(path: Path, span: Span) -> tuple[int, float]:
    """Estimates the frames in a span, and the frames a second, from what the header states.

    Where it states neither frames nor a duration, they are taken from the size of the file and of
    its first packets, whose times also tell the rate where it states a very high one. Nothing is
    decoded. Arguments as `iter_readers`.

    Raises:
        UnreadableClipError: If the file is no video.
    """
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            num_frames, rate_fps = _estimate_whole(container, find_stream(container, path))
    except av.error.FFmpegError as error:
        raise_if_machine_lacks(error)
        raise UnreadableClipError(
            f"{path}: expected a video, received: {error.strerror}. "
            + choose_remedy(error, "Replace or remove the clip.")
        ) from error
    first = 0 if span.start_sec is None else round(span.start_sec * rate_fps)
    last = num_frames if span.end_sec is None else min(num_frames, round(span.end_sec * rate_fps))
    return max(1, last - first), rate_fps


def _estimate_whole(
    container: av.container.InputContainer, stream: av.VideoStream
) -> tuple[int, float]:
    """Estimates the frames of the whole video, and the frames a second."""
    rate_fps = float(stream.average_rate or 0) or DEFAULT_RATE_FPS
    # A header may state anything; a frame takes a byte at least.
    num_frames = min(stream.frames, container.size)
    if num_frames:
        return num_frames, rate_fps
    duration_sec = find_stated_duration(container, stream).sec
    duration_sec = duration_sec or (container.duration or 0) / av.time_base
    packets = []
    if rate_fps > _HIGH_RATE_FPS or not duration_sec:
        packets = itertools.islice(container.demux(stream), _NUM_PACKETS)
        packets = [packet for packet in packets if packet.size]
    if rate_fps > _HIGH_RATE_FPS:
        rate_fps = _find_rate(packets) or rate_fps
    num_frames = min(round(duration_sec * rate_fps), container.size)
    if not num_frames:
        num_bytes = sum(packet.size for packet in packets)
        num_frames = round(container.size * len(packets) / max(1, num_bytes))
    return num_frames, rate_fps


def _find_rate(packets: list[av.Packet]) -> float:
    """Finds the frames a second by the times of packets, 0 where they have none."""
    times = [float(x.pts * x.time_base) for x in packets if x.pts is not None]
    lasting_sec = max(times, default=0.0) - min(times, default=0.0)
    return (len(times) - 1) / lasting_sec if lasting_sec > 0 else 0.0
