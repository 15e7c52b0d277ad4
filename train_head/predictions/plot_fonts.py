"""Names in pictures: their fonts, as matplotlib's own has no Chinese, Japanese, Korean or Hindi."""

import contextlib
import functools
import warnings

import numpy as np
from absl import logging
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font


def find_font_families(text: str) -> list[str]:
    """Finds font families which together have all characters of a text, to be tried in turn.

    What no installed font has is drawn as boxes; the first time, a warning says what to install.

    Returns:
        What matplotlib takes as `fontfamily`; its own family is the first.
    """
    families = ["sans-serif"]
    own = FT2Font(font_manager.findfont(font_manager.FontProperties())).get_charmap()
    missing = {ord(x) for x in text if x.isprintable()} - set(own)
    # The font that has most of them first, so that a word is of one font where it can be.
    found = [
        (missing.intersection(codes.tolist()), family, path)
        for family, path, codes in (_read_installed_fonts() if missing else [])
        if np.isin(codes, list(missing)).any()
    ]
    for codes, family, path in sorted(found, key=lambda x: -len(x[0])):
        if missing & codes:
            if family not in font_manager.get_font_names():
                font_manager.fontManager.addfont(path)  # installed since matplotlib made its list
            families.append(family)
            missing -= codes
    if missing:
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # said once, and how
        logging.log_first_n(
            logging.WARNING,
            "No installed font has %s, and characters like it are boxes in the pictures. Install "
            "one that has (Debian: fonts-noto-cjk for Chinese, Japanese and Korean, "
            "fonts-noto-core for others)",
            1,
            repr(chr(min(missing))),
        )
    return families


def escape_formula(text: str) -> str:
    """Returns a text that matplotlib draws as it is: a `$` begins a formula."""
    return text.replace("$", r"\$")


@functools.cache
def _read_installed_fonts() -> list[tuple[str, str, np.ndarray]]:
    """Returns family, path and characters of each font that can be drawn in any size."""
    fonts = []
    for path in sorted(font_manager.findSystemFonts()):
        with contextlib.suppress(OSError, RuntimeError):  # damaged, or none that FreeType knows
            font = FT2Font(path)
            if font.scalable:
                fonts.append((font.family_name, path, np.array(list(font.get_charmap()))))
    return fonts
