"""Text that a terminal shows, or a file holds, whatever stands in a name."""

import re

# Beside control characters: line separators and byte order marks, which a text file does not give
# back, and lone surrogates (a file name that is not UTF-8), which it cannot hold.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")


def has_control(text: str) -> bool:
    """Whether a name is not one line of text that is UTF-8."""
    return _CONTROL.search(text) is not None


def escape_control(text: str) -> str:
    """Returns a name as one line of text that is UTF-8: `a\\nb` where it breaks a line."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def escape_surrogates(text: str) -> str:
    """Returns text that a file can hold, bytes of a path that are not UTF-8 as JSON has them."""
    return text.encode(errors="backslashreplace").decode()
