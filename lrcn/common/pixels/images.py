"""Decodes frames that Pillow reads: the images of a folder, and animated GIF.

An image file with several pictures is no frame, whichever of them it should be.
"""

import functools
import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lrcn.common.clips.clip_folder import IMAGE_SUFFIXES, list_clip_folder
from lrcn.common.clips.frame_names import check_frame_names
from lrcn.common.clips.span import Span
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.files.unreadable import (
    UnreadableClipError,
    check_is_file,
    choose_remedy,
    is_of_system,
    make_missing_error,
    raise_if_machine_lacks,
)
from lrcn.common.pixels.frame import resize_picture
from lrcn.common.pixels.rgb import convert_to_rgb
from lrcn.common.programs.wording import name_count

# Where Pillow's own guard against decompression bombs raises. It stands here too because that
# guard is a global which other code may lift; from half of this on, Pillow warns.
MAX_IMAGE_PIXELS = 178_956_970

# Other plugins are not wanted for files that only claim to be images: EPS runs Ghostscript.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

# Where clips lie in a folder that is taken for one clip.
_CLIPS_REMEDY = (
    "right into the folder of their class, or name each in a .csv manifest, as README.md shows"
)

# What browsers make of a GIF that states no duration.
_GIF_DEFAULT_DURATION_MS = 100
GIF_DEFAULT_FPS = 1000 / _GIF_DEFAULT_DURATION_MS


def find_frame_files(folder: Path) -> list[os.DirEntry]:
    """Finds the frames of a clip: a folder's image files in natural order, 2 before 10.

    Symbolic links are followed, and hidden files left out.

    Raises:
        UnreadableClipError: If the folder cannot be listed, is no clip as `FolderContents.is_clip`
            says, or holds several sequences as `check_frame_names` says.
    """
    try:
        files, videos, folders, others = contents = list_clip_folder(folder)
    except OSError as error:
        raise make_missing_error(folder, error, expected="a folder of images") from error
    if videos and not contents.is_clip:
        raise UnreadableClipError(
            f"{folder}: expected a folder of frames, received {name_count(len(files), 'image')} "
            f"and, one level deeper than clips are, {name_count(len(videos), 'video')}, such as "
            f"{videos[0]}. Move the videos {_CLIPS_REMEDY}."
        )
    if not files:
        found = [
            f"{name_count(len(names), what)}, such as {names[0]}"
            for what, names in (("folder", folders), ("other file", others))
            if names
        ]
        received = f", received {' and '.join(found)}" if found else ""
        raise UnreadableClipError(
            f"{folder}: no frames. Expected image files ({' '.join(sorted(IMAGE_SUFFIXES))}) right "
            f"in this folder{received}. Add some, or remove the clip."
            + (f" If the folders are clips, move them {_CLIPS_REMEDY}." if folders else "")
        )
    # Without the suffix, so that `shot.png` comes before `shot (1).png` and `shot-1.png`.
    files.sort(key=lambda entry: (natural_key(entry.name.rpartition(".")[0]), entry.name))
    check_frame_names(folder, [entry.name for entry in files])
    return files


def is_animation(path: str | os.PathLike) -> bool:
    """Whether a file is a GIF of several pictures: a clip by itself, and not a frame of one."""
    return os.path.splitext(path)[1].lower() == ".gif" and _has_several_pictures(path, "GIF")


def is_still(path: str | os.PathLike) -> bool:
    """Whether a clip that is no GIF is one image. FFmpeg plays animated PNG, which is none."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".png":
        return not _has_several_pictures(path, "PNG")
    return suffix in IMAGE_SUFFIXES


def _has_several_pictures(path: str | os.PathLike, image_format: str) -> bool:
    try:
        check_is_file(path, os.stat(path).st_mode)
        with Image.open(path, formats=(image_format,)) as image:
            return image.is_animated
    except Exception:  # as in `read_pixels`, which names what is wrong with it
        return False


def read_pixels(path: str | os.PathLike, frame_index: int, image_size: int) -> np.ndarray:
    """Reads one image, upright.

    Args:
        path: The image file.
        frame_index: Its position in the clip, for the error.
        image_size: S, in pixels. A much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size,
            never below twice this side: several times faster, and after shrinking the same but for
            rounding.

    Returns:
        [S, S, 3] uint8 RGB.

    Raises:
        UnreadableClipError: If it is no image, cut off, damaged, too large, of a pixel type that
            has no defined brightness, or has several pictures, such as an animation.
    """
    place = f"{path} (frame {frame_index})"
    try:
        check_is_file(path, os.stat(path).st_mode)
        with Image.open(path, formats=_FORMATS) as image:
            _check_num_pixels(image, place=place)
            _check_one_picture(image, place=place)
            image.draft(None, (2 * image_size, 2 * image_size))
            ImageOps.exif_transpose(image, in_place=True)
            rgb = convert_to_rgb(image, place=place)
        if image.format == "PNG":
            _check_png_pixels(path)
    except UnreadableClipError:
        raise
    except Exception as error:  # Pillow's decoders raise what they stumble on, even SyntaxError.
        raise _make_error(error, place=place) from error
    return resize_picture(rgb, image_size)


def iter_gif_readers(path: Path, span: Span) -> Iterator[tuple[float, Callable[[int], np.ndarray]]]:
    """Yields the frames of an animated GIF in a span, as `video.iter_readers` does.

    A frame without a duration counts as 0.1 s.

    Raises:
        UnreadableClipError: As `read_pixels`, if it is cut off before the span's end, or if no
            frame lies in it.
    """
    start_sec, end_sec = span.borders_sec
    time_ms = 0
    frame_index = 0
    num_frames = 0
    try:
        with Image.open(path, formats=("GIF",)) as image:
            _check_num_pixels(image, place=str(path))
            for frame_index in itertools.count():
                try:
                    image.seek(frame_index)
                except EOFError:
                    _check_trailer(image)
                    break
                if num_frames and time_ms / 1000 >= end_sec:
                    break
                if start_sec <= time_ms / 1000 < end_sec:
                    num_frames += 1
                    # A copy, because the conversion must not meddle with the decoder's state.
                    yield time_ms / 1000, functools.partial(_resize_gif_frame, image.copy(), path)
                time_ms += image.info.get("duration") or _GIF_DEFAULT_DURATION_MS
    except UnreadableClipError:
        raise
    except Exception as error:  # As in read_pixels.
        raise _make_error(error, place=f"{path} (frame {frame_index})") from error
    if num_frames == 0:
        raise UnreadableClipError(
            f"{path}: expected a frame with start_sec={span.start_sec} <= time < "
            f"end_sec={span.end_sec}, received an animation of {time_ms / 1000:g} s. "
            "Correct the span, or remove the clip."
        )


def _resize_gif_frame(picture: Image.Image, path: Path, image_size: int) -> np.ndarray:
    return resize_picture(convert_to_rgb(picture, place=str(path)), image_size)


def _check_trailer(image: Image.Image) -> None:
    # For Pillow, a file that is cut off between two pictures ends there as well.
    image.fp.seek(-1, os.SEEK_CUR)
    if image.fp.read(1) != b";":
        raise EOFError("it ends without a GIF's trailer (byte 0x3B), as where it is cut off")


def _check_num_pixels(image: Image.Image, *, place: str) -> None:
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise UnreadableClipError(
            f"{place}: expected at most {MAX_IMAGE_PIXELS} pixels, received {image.width} x "
            f"{image.height} = {image.width * image.height}. Scale the image down."
        )


def _check_one_picture(image: Image.Image, *, place: str) -> None:
    # Beside its photo, a phone's JPEG (MPO) has a preview or what tells the depth.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnreadableClipError(
            f"{place}: expected a file of one picture, received a {image.format} of several. An "
            "animated GIF is a clip by itself: put it right into the folder of its class. Of other "
            "files, export the pictures as single images in a folder for each clip."
        )


def _check_png_pixels(path: str | os.PathLike) -> None:
    """Checks the checksums of a PNG's pixels, which Pillow decodes without a look at them.

    Not by its `verify`: that refuses whole pixels for a text behind them, or for an end that is
    missing. Raises ValueError.
    """
    with open(path, "rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            num_bytes, kind = int.from_bytes(head[:4]), head[4:]
            if kind != b"IDAT":
                file.seek(num_bytes + 4, os.SEEK_CUR)
            elif zlib.crc32(file.read(num_bytes), zlib.crc32(kind)) != int.from_bytes(file.read(4)):
                raise ValueError("a checksum of its pixels is wrong")


def _make_error(error: Exception, *, place: str) -> UnreadableClipError:
    raise_if_machine_lacks(error)
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableClipError(
            f"{place}: expected at most {MAX_IMAGE_PIXELS} pixels, but: {error} Scale the image "
            "down."
        )
    return UnreadableClipError(
        f"{place}: expected a whole image ({', '.join(_FORMATS)}), but decoding it failed: "
        f"{str(error) or type(error).__name__}. "
        + choose_remedy(error, "Replace or remove the file."),
        may_be_whole=is_of_system(error),
    )
