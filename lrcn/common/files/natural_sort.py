"""The order in which people count: frame 2 before frame 10."""

import re
import unicodedata


def natural_key(text: str) -> tuple:
    """Returns a sort key that compares runs of digits as numbers and ignores case.

    Names that differ only in case, leading zeros or Unicode form are ordered by the text itself,
    so that the order never depends on the input's.
    """
    return natural_parts(text), text


def natural_parts(text: str) -> tuple:
    """Returns what names that differ only in case, leading zeros or Unicode form have in common.

    Only 0-9 count as digits, since other scripts' digits and superscripts have no place value that
    can be relied on.
    """
    parts: list = re.split("([0-9]+)", fold_name(text))
    # A number is compared by length, then digit by digit: int() refuses very long ones.
    for i in range(1, len(parts), 2):
        digits = parts[i].lstrip("0")
        parts[i] = (len(digits), digits)
    return tuple(parts)


def fold_name(name: str) -> str:
    """Returns what names that differ only in case or Unicode form have in common.

    An é may be one character, or an e and an accent, as in names that came by way of a Mac.
    """
    return unicodedata.normalize("NFC", name).casefold()
