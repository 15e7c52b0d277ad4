"""Makes RGB of 8 bits of any picture.

Alpha is dropped rather than blended, as Keras and Pillow's `convert("RGB")` do. Colour profiles are
not applied.
"""

import numpy as np
from absl import logging
from PIL import Image

from lrcn.common.files.unreadable import UnreadableClipError

_TIFF_PHOTOMETRIC, _TIFF_WHITE_IS_ZERO = 262, 0

# Of the 256 shades of an image.
_FEW_SHADES = 32


def convert_to_rgb(image: Image.Image, *, place: str) -> Image.Image:
    """Makes RGB of 8 bits of any picture; `place` is where it is from, for the error.

    Raises:
        UnreadableClipError: If its numbers do not say what is white.
    """
    image.load()
    if image.mode.startswith("I"):
        image = _convert_16_bit_to_grey(image, place=place)
    elif image.mode == "F":
        raise UnreadableClipError(
            f"{place}: expected whole numbers of 8 or 16 bits per channel, received floating point "
            "(mode F), which does not say what is white. Convert the images to 8-bit PNG."
        )
    # Alpha is dropped anyway, and Pillow warns about some palettes with it.
    image.info.pop("transparency", None)
    # Of a picture that is RGB, Pillow would make a copy.
    return image if image.mode == "RGB" else image.convert("RGB")


def _convert_16_bit_to_grey(image: Image.Image, *, place: str) -> Image.Image:
    # Pillow's own conversion clips at 255, which leaves a white picture.
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise UnreadableClipError(
            f"{place}: expected 16-bit levels, 0 to 65535, received {levels.min()} to "
            f"{levels.max()} (mode {image.mode}). Convert the images to 8-bit PNG."
        )
    # Pillow turns the levels of such a file around itself, but not where they have 16 bits.
    if getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        levels = 65535 - levels
    _warn_of_few_shades(int(levels.min()), int(levels.max()), place=place)
    # The high byte, which is also what Pillow keeps of 16-bit colour.
    return Image.fromarray((levels // 256).astype(np.uint8))


def _warn_of_few_shades(lowest: int, highest: int, *, place: str) -> None:
    """Warns, once in a process, of levels as depth, thermal and medical images of 12 bits have."""
    num_shades = highest // 256 - lowest // 256 + 1
    if num_shades < _FEW_SHADES <= highest - lowest:
        logging.log_first_n(
            logging.WARNING,
            "%s: of 16-bit levels from %d to %d, of which the high byte is taken, %d shades are "
            "left. Scale the levels that matter to 0 to 65535, in all images alike, or hardly "
            "anything can be seen",
            1,
            place,
            lowest,
            highest,
            num_shades,
        )
