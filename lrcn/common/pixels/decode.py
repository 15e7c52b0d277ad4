"""Decodes a clip's frames, whatever the clip is made of.

A folder is a clip of images, a `.gif` file an animation, another image file a clip of one frame,
and any other file a video.
"""

import functools
import math
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from lrcn.common.clips.span import WHOLE, Span
from lrcn.common.files.unreadable import UnreadableClipError, check_is_file, make_missing_error
from lrcn.common.pixels import images
from lrcn.common.pixels.frame import Frame
from lrcn.common.pixels.frame_selection import ALL_FRAMES, FrameSelection
from lrcn.common.pixels.views import Views


def iter_frames(
    source: Path,
    *,
    image_size: int,
    selection: FrameSelection = ALL_FRAMES,
    span: Span = WHOLE,
    positions: Collection[int] | None = None,
    on_decoded: Callable[[], None] | None = None,
) -> Iterator[Frame]:
    """Yields a clip's frames in order; only one is in memory at a time.

    Frames that are not selected are not converted or resized, and in a folder not opened either.

    Args:
        source: Folder of images, an image, or a video file.
        image_size: S, in pixels; see `resize_picture` for how a frame becomes [S, S, 3] uint8.
        selection: Which frames to yield; `Frame.index` counts the others too. With `max_frames`, a
            video is decoded once more to count its frames.
        span: Frames outside are left out. Only for files.
        positions: Of the selected frames, counted from 0, those to convert; the others come with
            None for pixels. None for all.
        on_decoded: Called at each frame, also where it is only counted or not selected, which may
            take minutes; what it raises ends the iteration.

    Raises:
        UnreadableClipError: If the clip has no frame, any of its frames cannot be decoded, or
            `selection` goes by times where there are none. It may come after some frames.
    """

    def iter_readers():
        readers = _iter_readers(Path(source), selection=selection, span=span)
        return _tell_each(readers, on_decoded)

    read_pixels = None

    def iter_times():
        # The reader must not go through the selection, which would hold the last frame it kept.
        # FFmpeg decodes into pictures that nobody holds, and where data is damaged it leaves what
        # was in them: which frames are selected would change the pixels of others.
        nonlocal read_pixels
        for timestamp_sec, reader in iter_readers():
            read_pixels = reader
            yield timestamp_sec

    breaks = []

    def iter_times_until_break():
        try:
            for timestamp_sec, _ in iter_readers():
                yield timestamp_sec
        except UnreadableClipError as error:
            breaks.append(error)

    kept = selection.iter_kept(iter_times(), iter_times_until_break)
    for position, (index, timestamp_sec) in enumerate(kept):
        is_wanted = positions is None or position in positions
        yield Frame(index, timestamp_sec, read_pixels(image_size) if is_wanted else None)
    # A damaged clip has broken off above once more. One whose disk fails need not.
    if breaks:
        raise UnreadableClipError(
            f"{source}: expected as many frames as were counted before, received more: that time "
            f"it broke off ({breaks[0]}). Its disk may fail. Run the same command again.",
            may_be_whole=True,
        )


def read_frames(
    source: Path,
    frame_indices: Collection[int],
    *,
    image_size: int,
    views: Views,
    span: Span = WHOLE,
) -> dict[int, np.ndarray]:
    """Reads the first view of some frames by their number, as far as the last of them.

    Args:
        source: Folder of images, an image, or a video file.
        frame_indices: Values of `Frame.index`.
        image_size: S, in pixels, the side of a view.
        views: Which views a frame has.
        span: As `iter_frames`.

    Returns:
        {frame index: [S, S, 3] uint8}.

    Raises:
        UnreadableClipError: If one of these frames, or a video before it, cannot be decoded, or the
            clip does not have it.
    """
    wanted = set(frame_indices)
    frames = {}
    resized_px = views.find_resized_px(image_size)
    for frame in iter_frames(source, image_size=resized_px, span=span, positions=wanted):
        if frame.pixels is not None:
            frames[frame.index] = views.cut(frame.pixels, image_size)[0]
        if len(frames) == len(wanted):
            return frames
    raise UnreadableClipError(
        f"{source}: expected a frame {min(wanted - frames.keys())}, received fewer. Where it has "
        "changed meanwhile, read it again."
    )


def count_frames(
    source: Path,
    *,
    selection: FrameSelection = ALL_FRAMES,
    span: Span = WHOLE,
    on_decoded: Callable[[], None] | None = None,
) -> int:
    """Counts the frames that `iter_frames` yields; images are not opened, videos are decoded.

    Arguments and errors as `iter_frames`.
    """
    readers = _iter_readers(Path(source), selection=selection, span=span)
    return selection.count(timestamp_sec for timestamp_sec, _ in _tell_each(readers, on_decoded))


def estimate_num_frames(source: Path, *, span: Span = WHOLE) -> tuple[int, float]:
    """Estimates how many frames a clip has, and how many a second, without decoding a video.

    Arguments as `iter_frames`. The rate of a folder is NaN, that of a still image 1.

    Raises:
        UnreadableClipError: If the clip is missing, or plainly none.
    """
    source = Path(source)
    if _is_folder(source, span):
        return len(images.find_frame_files(source)), math.nan
    if _is_gif(source):
        readers = images.iter_gif_readers(source, span)
        times = [time_sec for time_sec, _ in readers]
        num_gaps, shown_sec = len(times) - 1, times[-1] - times[0]
        return len(times), num_gaps / shown_sec if num_gaps else images.GIF_DEFAULT_FPS
    if images.is_still(source):
        _check_span_of_still(source, span)
        return 1, 1.0
    from lrcn.common.pixels import video_estimate  # late, as below

    return video_estimate.estimate_num_frames(source, span)


def _iter_readers(
    source: Path, *, selection: FrameSelection, span: Span
) -> Iterator[tuple[float, Callable[[int], np.ndarray]]]:
    """Yields time in seconds, and what turns S into pixels [S, S, 3] before the next is taken."""
    if _is_folder(source, span):
        if selection.fps is not None:
            raise UnreadableClipError(
                f"{source}: expected a video file, as fps={selection.fps:g} goes by the times of "
                "frames, received a folder of images, which have none. Give the video itself, or "
                "extract the features with --frame_stride in place of --fps, into a new cache."
            )
        for index, entry in enumerate(images.find_frame_files(source)):
            yield math.nan, functools.partial(images.read_pixels, entry.path, index)
    elif _is_gif(source):
        yield from images.iter_gif_readers(source, span)
    elif images.is_still(source):
        _check_span_of_still(source, span)
        yield 0.0, functools.partial(images.read_pixels, source, 0)
    else:
        # Late: PyAV loads FFmpeg's libraries, which a clip of images does not need.
        from lrcn.common.pixels import video

        yield from video.iter_readers(source, span)


def _tell_each(readers: Iterator, on_decoded: Callable[[], None] | None) -> Iterator:
    for reader in readers:
        if on_decoded is not None:
            on_decoded()
        yield reader


def _is_folder(source: Path, span: Span) -> bool:
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError) as error:
        raise make_missing_error(source, error) from error
    if not stat.S_ISDIR(mode):
        check_is_file(source, mode)
        return False
    if span != WHOLE:
        raise UnreadableClipError(
            f"{source}: expected a video file, as the clip has {span}, received a folder of "
            "images, which have no times. Leave both empty."
        )
    return True


def _is_gif(source: Path) -> bool:
    return source.suffix.lower() == ".gif"


def _check_span_of_still(source: Path, span: Span) -> None:
    if span.start_sec is not None and span.start_sec > 0:
        raise UnreadableClipError(
            f"{source}: expected a video file, as the clip has start_sec={span.start_sec}, "
            "received a still image, whose one frame is at 0 s. Leave start_sec and end_sec empty."
        )
