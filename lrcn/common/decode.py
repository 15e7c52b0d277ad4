"""Decodes a clip's frames, whatever the clip is made of.

A folder is a clip of images, a `.gif` file an animation, and any other file a video.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from lrcn.common import images
from lrcn.common.clip import SourceStat
from lrcn.common.frame import RESIZE_RULE, Frame, UnreadableClipError, resize_picture

__all__ = [
    "RESIZE_RULE",
    "Frame",
    "UnreadableClipError",
    "count_frames",
    "iter_frames",
    "read_source_stat",
]


def iter_frames(
    source: Path,
    *,
    image_size: int,
    start_sec: float | None = None,
    end_sec: float | None = None,
) -> Iterator[Frame]:
    """Yields a clip's frames in order; only one is in memory at a time.

    Args:
        source: Folder of images, or video file.
        image_size: S, in pixels; see `resize_picture` for how a frame becomes [S, S, 3] uint8.
        start_sec: Frames before it are left out; None for the beginning. Only for files.
        end_sec: Frames at or after it are left out; None for the end. Only for files.

    Raises:
        UnreadableClipError: If the clip has no frame, or any of its frames cannot be decoded. It
            may come after some frames.
    """
    source = Path(source)
    if _is_folder(source, start_sec=start_sec, end_sec=end_sec):
        for index, entry in enumerate(images.find_frame_files(source)):
            picture = images.read_image(entry.path, frame_index=index, image_size=image_size)
            yield Frame(index, math.nan, resize_picture(picture, image_size))
    elif _is_gif(source):
        pictures = images.iter_gif(source, start_sec=start_sec, end_sec=end_sec)
        for index, (timestamp_sec, picture) in enumerate(pictures):
            yield Frame(index, timestamp_sec, resize_picture(picture, image_size))
    else:
        yield from _import_video().iter_video_frames(
            source, image_size=image_size, start_sec=start_sec, end_sec=end_sec
        )


def count_frames(
    source: Path, *, start_sec: float | None = None, end_sec: float | None = None
) -> int:
    """Counts the frames that `iter_frames` yields; images are not opened, videos are decoded.

    Arguments and errors as `iter_frames`.
    """
    source = Path(source)
    if _is_folder(source, start_sec=start_sec, end_sec=end_sec):
        return len(images.find_frame_files(source))
    iter_pictures = images.iter_gif if _is_gif(source) else _import_video().iter_decoded
    return sum(1 for _ in iter_pictures(source, start_sec=start_sec, end_sec=end_sec))


def read_source_stat(source: Path) -> SourceStat:
    """Reads what tells whether a source has changed, without opening any file.

    Raises:
        UnreadableClipError: If the source is missing, or a folder without images.
    """
    source = Path(source)
    try:
        if source.is_dir():
            stats = [entry.stat() for entry in images.find_frame_files(source)]
        else:
            stats = [source.stat()]
    except OSError as error:
        raise _make_missing_error(error.filename, error) from error
    return SourceStat(
        size_bytes=sum(stat.st_size for stat in stats),
        mtime_ns=max(stat.st_mtime_ns for stat in stats),
    )


def _is_folder(source: Path, *, start_sec: float | None, end_sec: float | None) -> bool:
    try:
        os.stat(source)
    except (OSError, ValueError) as error:
        raise _make_missing_error(source, error) from error
    if not source.is_dir():
        return False
    if start_sec is not None or end_sec is not None:
        raise UnreadableClipError(
            f"{source}: expected a video file, as the clip has start_sec={start_sec} and "
            f"end_sec={end_sec}, received a folder of images, which have no times. Leave "
            "both empty."
        )
    return True


def _is_gif(source: Path) -> bool:
    return source.suffix.lower() == ".gif"


def _import_video():
    # PyAV loads FFmpeg's libraries, which a clip of images does not need.
    from lrcn.common import video

    return video


def _make_missing_error(path: str | Path, error: Exception) -> UnreadableClipError:
    reason = getattr(error, "strerror", None) or error
    return UnreadableClipError(
        f"{path}: expected a folder of images or a video file, received: {reason}. Check the path "
        "and its permissions."
    )
