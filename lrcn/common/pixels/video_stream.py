"""What a video file states: which stream its pictures are, their times, how long it lasts."""

import re
from pathlib import Path
from typing import NamedTuple

import av
from av.format import Flags
from av.stream import Disposition

from lrcn.common.files.unreadable import UnreadableClipError

# What these state as a duration was written by who made the file. Others (MPEG-TS) have none, and
# FFmpeg guesses it from the file that is there.
_FORMATS_WITH_DURATION = {"asf", "flv", "matroska", "mov"}

# A stated duration is rounded, and may be that of the sound; Matroska's tag is of the pictures.
_TOLERANCE_SEC = 1.0
_TOLERANCE = 0.05
_TOLERANCE_OF_STREAM_SEC = 0.15
_MATROSKA_DURATION = re.compile(r"([0-9]+):([0-9]+):([0-9.]+)")  # 00:00:02.400000000

# MPEG's program streams need not state the time of every frame. For these codecs FFmpeg computes
# what is missing.
_CODECS_OF_COMPUTED_TIMES = {"mpeg1video", "mpeg2video", "mpeg4"}

# What names other files, of which FFmpeg passes over those that it does not get.
_LIST_FORMATS = {"concat", "dash", "hls"}

# What FFmpeg paints text with: by its suffix, a .txt or .nfo file is a video of characters to it.
_TEXT_CODECS = {"ansi", "bintext", "idf", "xbin"}

# H.264 and HEVC put at most so many pictures into another order. A time that lies further back is
# no slip of a container's: another video begins.
_MAX_REORDERED = 16

# What is assumed of a video that states no rate.
DEFAULT_RATE_FPS = 25.0


class DamageError(Exception):
    """What the decoder did not take for an error; the message is the reason."""


class Clock:
    """Tells the time of each frame, in seconds from the start of the stream.

    Attributes:
        knows_start: Whether times are right where reading does not start with the first frame.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self._start_pts = self._next_pts = stream.start_time or 0
        self._time_base = stream.time_base
        self._is_elementary = bool(container.format.flags & Flags.no_timestamps.value)
        self._frame_sec = float(1 / stream.average_rate) if stream.average_rate else 0.0
        # AVI has no display times, and those that FFmpeg makes up for H.264 in ASF are of other
        # frames: those of decoding are in the right order, and late by as many frames as the
        # decoder holds back. Only the first frame tells how many.
        codec = stream.codec_context
        has_none = container.format.name == "avi" or (
            container.format.name == "asf" and codec.name == "h264"
        )
        self._field = "dts" if has_none else "pts"
        # After a seek in a program stream, FFmpeg gives the first time that it states to the first
        # frame, be it that of a later one.
        is_sparse = container.format.name == "mpeg" and codec.name not in _CODECS_OF_COMPUTED_TIMES
        self.knows_start = stream.start_time is not None and not (
            self._is_elementary or is_sparse or (has_none and codec.has_b_frames)
        )
        self._end_sec = self._others_end_sec = self._longest_gap_sec = 0.0
        self._last_sec: float | None = None

    def read_time(self, frame: av.VideoFrame) -> float:
        """Returns the time at which a frame is shown; frames come in the order of the file.

        Raises:
            DamageError: If it lies far before that of the frame before.
        """
        pts = getattr(frame, self._field)
        # The last frames of AVI have no times. An elementary stream has none at all: those that
        # FFmpeg makes up for it begin late where the decoder holds frames back.
        if pts is None or (self._is_elementary and frame.duration):
            pts = self._next_pts
        if not self.knows_start:
            self._start_pts, self.knows_start = pts, True
        self._next_pts = pts + (frame.duration or 0)
        timestamp_sec = self._to_sec(pts)
        if self._last_sec is not None:
            gap_sec = timestamp_sec - self._last_sec
            self._longest_gap_sec = max(self._longest_gap_sec, gap_sec)
            # A rate may be stated far too high, or not at all.
            frame_sec = max(self._frame_sec, 1 / DEFAULT_RATE_FPS)
            if -gap_sec > _MAX_REORDERED * frame_sec:
                raise DamageError(
                    f"the next frame is at {timestamp_sec:.3f} s, as where videos were joined"
                )
        self._last_sec = timestamp_sec
        self._end_sec = max(timestamp_sec + self._frame_sec, self._to_sec(self._next_pts))
        return timestamp_sec

    def read_other(self, packet: av.Packet) -> None:
        """Takes note of a packet that is not of the stream of frames."""
        if packet.pts is not None:
            end_sec = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end_sec -= float(self._start_pts * self._time_base)
            self._others_end_sec = max(self._others_end_sec, end_sec)

    def check_end(self, stated: "StatedDuration", *, is_from_start: bool) -> None:
        """Checks, when all is read, that it went on for as long as the header says.

        Raises:
            DamageError: If not, or if there was no frame. After a seek that is no damage, since it
                may have led behind the end.
        """
        if self._last_sec is None:
            if is_from_start:
                raise DamageError("no frame can be decoded")
            return
        # Of a variable rate, how long the last frame is shown need not be known.
        tolerance_sec = max(stated.tolerance_sec, 2 * self._longest_gap_sec)
        if stated.sec - max(self._end_sec, self._others_end_sec) > tolerance_sec:
            raise DamageError(f"its header states {stated.sec:.3f} s")

    def _to_sec(self, pts: int) -> float:
        return float((pts - self._start_pts) * self._time_base)


def find_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Finds the stream of pictures that FFmpeg takes for the best.

    Raises:
        UnreadableClipError: If there is none, it cannot be decoded, or it is text; also if the file
            names others that have it.
    """
    if container.format.name in _LIST_FORMATS:
        raise UnreadableClipError(
            f"{path}: expected a video, received a list of files ({container.format.name}). Join "
            "them (ffmpeg -i IN -c copy OUT.mkv), or name each of them as a clip."
        )
    # A cover picture is a video stream to FFmpeg.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UnreadableClipError(
            f"{path}: expected a video stream, received only {kinds}. Remove the clip, or name "
            "the file that holds its pictures."
        )
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise UnreadableClipError(
            f"{path}: expected a codec that FFmpeg can decode, received an unknown one. "
            "Re-encode the video."
        )
    if stream.codec_context.name in _TEXT_CODECS:
        raise UnreadableClipError(
            f"{path}: expected a video, received text, of which FFmpeg would paint the characters "
            f"({stream.codec_context.name}). Remove the clip, or name a video."
        )
    return stream


class StatedDuration(NamedTuple):
    """What a header states.

    Attributes:
        sec: Seconds that the video lasts, 0 where nothing is stated.
        tolerance_sec: How many less it may last.
        is_of_file: Whether that is when the file ends, which may be with the sound.
    """

    sec: float
    tolerance_sec: float
    is_of_file: bool


def find_stated_duration(
    container: av.container.InputContainer, stream: av.VideoStream
) -> StatedDuration:
    """Finds how long the header says that the video lasts."""
    formats = container.format.name.split(",")
    # More frames than bytes are stated where nobody knew how many there would be.
    if "avi" in formats and 0 < stream.frames < container.size and stream.average_rate:
        # The duration of a cut AVI is that of what is left.
        return _state_about(float(stream.frames / stream.average_rate))
    if not _FORMATS_WITH_DURATION.intersection(formats):
        return _state_about(0.0)
    # Some state the time at which the stream or the file ends, and neither need start at 0.
    start_sec = float((stream.start_time or 0) * stream.time_base)
    if stream.duration:
        sec = float(stream.duration * stream.time_base)
        is_of_file = "asf" in formats  # which states no other
        # Of an MP4, FFmpeg gives the end of the last edit, if edits leave frames out.
        has_edits = "mov" in formats and len(stream.index_entries) < stream.frames
        return _state_about(
            sec - start_sec if is_of_file or has_edits else sec, is_of_file=is_of_file
        )
    tag = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tag is not None:
        hours, minutes, seconds = map(float, tag.groups())
        sec = hours * 3600 + minutes * 60 + seconds - start_sec
        return StatedDuration(sec, _TOLERANCE_OF_STREAM_SEC, is_of_file=False)
    end_sec = (container.duration or 0) / av.time_base
    # Of FLV it may be a length instead, plainly so where it is less than the start.
    return _state_about(end_sec - start_sec if end_sec > start_sec else end_sec, is_of_file=True)


def _state_about(sec: float, *, is_of_file: bool = False) -> StatedDuration:
    return StatedDuration(sec, max(_TOLERANCE_SEC, _TOLERANCE * sec), is_of_file)
