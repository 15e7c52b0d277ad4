"""Writes small clips, and decodes them; the brightness of a frame tells its number."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lrcn.common.clips.span import WHOLE
from lrcn.common.pixels.decode import iter_frames

# Side of what `decode` gives, in pixels.
SIZE = 32
_DARKEST = 16
_STEP = 8


def make_numbered_frames(num_frames: int, *, height: int = 64, width: int = 64) -> np.ndarray:
    """Makes up to 30 grey frames, [T, H, W, 3] uint8, for `read_frame_numbers`."""
    levels = _DARKEST + _STEP * np.arange(num_frames)
    return np.broadcast_to(
        levels.astype(np.uint8)[:, None, None, None], (num_frames, height, width, 3)
    )


def decode(source, span=WHOLE, **options):
    """Decodes a clip, or a span of it, to a list of frames."""
    return list(iter_frames(source, image_size=SIZE, span=span, **options))


def read_frame_numbers(pictures: Iterable[np.ndarray]) -> list[int]:
    """Reads the numbers back from [H, W, 3] pictures."""
    return [round((float(np.mean(picture)) - _DARKEST) / _STEP) for picture in pictures]


def write_frame_folder(path: Path, frames: Iterable[np.ndarray], *, suffix: str = ".png") -> Path:
    """Writes frames as `0.png`, `1.png`, ..., so that sorting them as text is wrong from 10 on."""
    path.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(np.asarray(frame)).save(path / f"{i}{suffix}")
    return path


def write_gif(path: Path, num_frames: int, *, duration: int | list[int], **size: int) -> Path:
    """Writes an animation of `make_numbered_frames`; durations in ms."""
    first, *others = map(Image.fromarray, make_numbered_frames(num_frames, **size))
    first.save(path, save_all=True, append_images=others, duration=duration)
    return path


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    color: dict[str, int] | None = None,
) -> Path:
    """Writes RGB frames as a video.

    Args:
        path: The suffix decides the container.
        frames: [T] of [H, W, 3] uint8.
        fps: Frames per second.
        codec: FFmpeg's name of the encoder.
        pix_fmt: FFmpeg's name of the pixel format.
        options: For the encoder.
        container_options: For the container.
        pts: Display time of each frame in 1 / fps; None for one after the other.
        rotation: Degrees counter-clockwise that a player shall turn the picture by.
        color: `colorspace` and `color_range` to convert to, and to state.

    Returns:
        The path.
    """
    height, width = frames[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if color:
                frame = frame.reformat(
                    format=pix_fmt,
                    **{f"dst_{name}": value for name, value in color.items()},
                )
            frame.pts = i if pts is None else pts[i]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
