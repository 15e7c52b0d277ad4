"""A decoded frame of a video as RGB, upright.

Pixels are taken as stored and stretched to a square, so a pixel aspect ratio other than 1 plays no
part.
"""

import av
import numpy as np
from av.sidedata import sidedata
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from lrcn.common.files.unreadable import UnreadableClipError, raise_if_machine_lacks
from lrcn.common.pixels.frame import resize_picture

# Without these, swscale's fast paths leave white at 253 for 10-bit video.
_CONVERSION = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@classmethod
def _make_unknown_type(cls: type[sidedata.Type], value: int) -> sidedata.Type:
    member = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


# PyAV 18 raises at a frame with side data that it has no name for, such as EXIF. An enum that lacks
# a value asks this function for it.
sidedata.Type._missing_ = _make_unknown_type


def read_pixels(
    frame: av.VideoFrame, reformatter: VideoReformatter, place: str, image_size: int
) -> np.ndarray:
    """Converts a frame to pixels.

    Args:
        frame: As it was decoded.
        reformatter: What converts the frames of the clip.
        place: What was expected of the frame, for the error.
        image_size: The side S in pixels.

    Returns:
        [S, S, 3] uint8.

    Raises:
        UnreadableClipError: If it has no RGB.
    """
    try:
        rgb = reformatter.reformat(
            frame, format="rgb24", interpolation=_CONVERSION, threads=1
        ).to_ndarray()
    except av.error.FFmpegError as error:
        raise_if_machine_lacks(error)
        raise UnreadableClipError(
            f"{place}, received pixel format {frame.format.name}: {error.strerror}. Re-encode the "
            "video."
        ) from error
    return _turn_upright(resize_picture(Image.fromarray(rgb), image_size), frame)


def _turn_upright(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Applies the display matrix, [S, S, 3] to [S, S, 3]: a multiple of 90 degrees or a mirror."""
    # A frame and its `side_data` hold each other, and so the picture, until Python looks for
    # garbage, which may be hundreds of pictures later.
    side_data = sidedata.SideDataContainer(frame)
    if "DISPLAYMATRIX" not in side_data:
        return pixels
    # x' = a x + c y, y' = b x + d y; libavutil/display.h.
    matrix = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)
    a, b, c, d = matrix[[0, 1, 3, 4]]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
