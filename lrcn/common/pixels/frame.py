"""One decoded frame of a clip, and the rule by which it becomes a square."""

from typing import NamedTuple

import numpy as np
from PIL import Image

# Goes into the cache contract: another rule gives other features.
RESIZE_RULE = "stretch_bilinear"


class Frame(NamedTuple):
    """One frame of a clip.

    Attributes:
        index: Position in the clip, from 0.
        timestamp_sec: Seconds from the first frame of the source file, also where the clip is a
            span of it; NaN in a folder of images.
        pixels: [S, S, 3] uint8 RGB; None where they are not wanted.
    """

    index: int
    timestamp_sec: float
    pixels: np.ndarray | None


class FrameBlock(NamedTuple):
    """Some frames of a clip, one after the other, which cost no more to hand on than a single one.

    Attributes:
        index: N numbers, see `Frame`.
        timestamp_sec: N times, see `Frame`.
        pixels: [N, S, S, 3] uint8 RGB; None where they are no longer wanted.
    """

    index: list[int]
    timestamp_sec: list[float]
    pixels: np.ndarray | None


def resize_picture(picture: Image.Image, image_size: int) -> np.ndarray:
    """Stretches a picture to a square: `RESIZE_RULE`.

    The aspect ratio is not kept, as with Keras' `load_img(target_size=...)`. Pillow's bilinear
    filter widens as it shrinks, so that nothing aliases; a picture of the right size is untouched.

    Args:
        picture: RGB, of any size.
        image_size: S, in pixels.

    Returns:
        [S, S, 3] uint8.
    """
    return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BILINEAR))
