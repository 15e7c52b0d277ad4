"""Text that a terminal shows, or a file holds, whatever stands in a name."""

import re

# Beside control characters: line separators and byte order marks, which a text file does not give
# back, and lone surrogates (a file name that is not UTF-8), which it cannot hold.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
# What names in Arabic or Hebrew may hold, and a file keeps. A terminal does not show them, and
# turns what follows around.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def has_control(text: str) -> bool:
    """Whether a name is not one line of text that is UTF-8."""
    return _CONTROL.search(text) is not None


def escape_control(text: str) -> str:
    """Returns a name as one line of text that is UTF-8: `a\\nb` where it breaks a line, and
    `a\\u202eb` where it turns what follows around.
    """
    return escape_direction(_CONTROL.sub(_spell, text))


def escape_direction(text: str) -> str:
    """Returns lines of text, in which names stand, so that each letter has its place."""
    return _DIRECTION.sub(_spell, text)


def _spell(found: re.Match) -> str:
    return repr(found[0])[1:-1]


def escape_surrogates(text: str) -> str:
    """Returns text that a file can hold, bytes of a path that are not UTF-8 as JSON has them."""
    return text.encode(errors="backslashreplace").decode()
