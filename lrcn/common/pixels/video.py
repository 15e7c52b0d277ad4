"""Decodes video files with PyAV.

Damage is an error, never a concealed or missing frame, as far as FFmpeg can tell.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from lrcn.common.clips.span import Span, round_sec
from lrcn.common.files.unreadable import (
    UnreadableClipError,
    choose_remedy,
    find_read_error,
    has_memory,
    is_of_system,
    raise_if_machine_lacks,
)
from lrcn.common.pixels.container_items import check_items_are_whole
from lrcn.common.pixels.ts_file import check_packets_are_whole
from lrcn.common.pixels.video_pixels import read_pixels
from lrcn.common.pixels.video_stream import (
    Clock,
    DamageError,
    find_stated_duration,
    find_stream,
)

# What the first pictures of 4K need.
_PICTURES_BYTES = 64 << 20


class _StartsAmidGroupError(Exception):
    """The first pictures refer to ones that are not there, as after a cut without re-encoding."""


def iter_readers(path: Path, span: Span) -> Iterator[tuple[float, Callable[[int], np.ndarray]]]:
    """Yields the frames of a video file that lie in a span, upright, in display order.

    Yields:
        Time in seconds, and a function that turns the side S in pixels into [S, S, 3] uint8. A
        frame is converted only where that is called.

    Raises:
        UnreadableClipError: If the file is no video, damaged or cut off before the span's end, or
            if no frame lies in it.
    """
    start_sec, end_sec = span.borders_sec
    # One for the clip: making one starts threads, which costs ten times the conversion.
    reformatter = VideoReformatter()
    last_sec = next_sec = None
    num_frames = 0
    for timestamp_sec, frame in _iter_from(path, start_sec):
        if round_sec(timestamp_sec) >= end_sec:
            next_sec = timestamp_sec
            break
        last_sec = timestamp_sec
        if round_sec(timestamp_sec) >= start_sec:
            num_frames += 1
            place = f"{path}: expected pixels that convert to RGB at {timestamp_sec:.3f} s"
            yield timestamp_sec, functools.partial(read_pixels, frame, reformatter, place)
    if num_frames == 0:
        raise UnreadableClipError(
            f"{path}: expected a frame with {max(start_sec, 0):g} <= time < {end_sec:g} s, "
            f"received {_describe_around(last_sec, next_sec)}. Correct start_sec and end_sec, or "
            "remove the clip."
        )


def _describe_around(last_sec: float | None, next_sec: float | None) -> str:
    """Says which frames lie before and behind a span that has none."""
    if last_sec is None:
        return f"none before {next_sec:.3f} s"
    if next_sec is None:
        return f"a video that ends at {last_sec:.3f} s"
    return f"frames at {last_sec:.3f} s and next at {next_sec:.3f} s"


def _iter_from(path: Path, start_sec: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decodes from a key frame at or before `start_sec`, which seeking alone may overshoot."""
    for seek_sec in (start_sec - 1, start_sec - 10, 0):
        if seek_sec < 0:
            continue
        frames = _decode(path, seek_sec=seek_sec, strict=True)
        try:
            first = next(frames, None)
        except _StartsAmidGroupError:
            frames = _decode(path, seek_sec=seek_sec, strict=False)
            first = next(frames, None)
        if first is not None and (first[0] <= start_sec or seek_sec == 0):
            yield first
            yield from frames
            return
        frames.close()


def _decode(path: Path, *, seek_sec: float, strict: bool) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decodes from near `seek_sec`, or the very beginning where it is 0, to the end of the file.

    `strict` has the decoder report all the damage it sees. It then also takes for damaged what
    refers to pictures before the first key frame.
    """
    reached = "before the first frame"
    try:
        # The prefix keeps a colon in a name from being taken for a protocol.
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            stream = find_stream(container, path)
            # With more threads FFmpeg misses damage, and the pixels before it depend on the number
            # of cores. Clips are decoded side by side instead.
            stream.codec_context.thread_count = 1
            if strict:
                stream.codec_context.options = {"err_detect": "explode"}
            clock = Clock(container, stream)
            if seek_sec > 0 and not (clock.knows_start and _seek(container, stream, seek_sec)):
                return  # to try further ahead
            stated = find_stated_duration(container, stream)
            packets = _iter_packets(container, stream, clock, with_others=stated.is_of_file)
            frames = _iter_av_frames(packets, stream, strict=strict, sought=seek_sec > 0)
            for i, frame in enumerate(frames):
                timestamp_sec = clock.read_time(frame)
                yield timestamp_sec, frame
                reached = f"at {timestamp_sec:.3f} s"
                if seek_sec == 0:
                    reached += f", after frame {i}"
            clock.check_end(stated, is_from_start=seek_sec == 0)
            check_items_are_whole(path, container.format.name)
            if container.format.name == "mpegts":
                check_packets_are_whole(path)
    except (av.error.FFmpegError, OSError, DamageError) as error:
        # H.264's decoder calls it invalid data where it gets no memory for a picture.
        if isinstance(error, av.error.InvalidDataError) and not has_memory(_PICTURES_BYTES):
            raise MemoryError(f"too little for a picture of {path}") from error
        if not is_of_system(error):
            # Where a disk fails amid a packet, FFmpeg takes it for damage.
            error = find_read_error(path) or error
        raise_if_machine_lacks(error)
        reason = error if isinstance(error, DamageError) else error.strerror
        remedy = choose_remedy(
            error,
            "The file is damaged, cut off or no video. Get it again, re-encode what is left of it "
            "(ffmpeg -i IN OUT.mp4), or remove the clip.",
        )
        raise UnreadableClipError(
            f"{path}: expected a whole video, but it ended {reached}: {reason}. {remedy}",
            may_be_whole=is_of_system(error),
        ) from error


def _seek(container: av.container.InputContainer, stream: av.VideoStream, seek_sec: float) -> bool:
    """Goes to near a time; returns whether it could: not behind the end, nor without an index."""
    try:
        container.seek(stream.start_time + int(seek_sec / stream.time_base), stream=stream)
    except av.error.FFmpegError:
        return False
    return True


def _iter_packets(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    clock: Clock,
    *,
    with_others: bool,
) -> Iterator[av.Packet]:
    # Where the header only states when the file ends, the sound may be what ends last.
    packets = container.demux(*(container.streams if with_others else [stream]))
    # When all is read, PyAV fails at streams that came up meanwhile, as of sound in an FLV.
    with contextlib.suppress(IndexError):
        for packet in packets:
            if packet.stream.index == stream.index:
                yield packet
            else:
                clock.read_other(packet)


def _iter_av_frames(
    packets: Iterator[av.Packet], stream: av.VideoStream, *, strict: bool, sought: bool
) -> Iterator[av.VideoFrame]:
    key_pts = None
    starts_amid_group = sought
    num_frames = 0
    for packet in packets:
        if key_pts is None and packet.is_keyframe:
            key_pts = packet.pts
        elif packet.pts is not None and (key_pts is None or packet.pts < key_pts):
            starts_amid_group = True
        try:
            # Before a gap, the frames that the decoder still holds are taken out.
            frames = stream.decode(None if packet.is_corrupt else packet)
        except av.error.InvalidDataError as error:
            if strict and starts_amid_group and num_frames == 0:
                raise _StartsAmidGroupError from error
            raise
        for frame in frames:
            if frame.is_corrupt:
                raise DamageError("the next frame is damaged")
            yield frame
            num_frames += 1
        if packet.is_corrupt:
            raise DamageError("data is missing after it")
