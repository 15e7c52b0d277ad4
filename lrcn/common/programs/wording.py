"""How numbers and lists are said."""

import re
import textwrap
from collections.abc import Sequence

from lrcn.common.files.escaped_text import escape_control

# So that a terminal of 80 columns, where it breaks lines itself, has none of a single word.
_LINE_COLUMNS = 79


def name_count(number: int, noun: str) -> str:
    """Returns `1 clip`, `2 clips` or `1,234 clips`; the noun is one of those that get an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def name_duration(sec: float) -> str:
    """Returns hours, minutes and seconds, such as `1:02:05`."""
    minutes, seconds = divmod(round(sec), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """Names the first few, and says how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def pad_names(names: Sequence[str]) -> list[str]:
    """Makes names as wide as the widest in a terminal, by blanks, and such as it can show."""
    # Chinese characters take two columns, accents behind a letter none. Few programs print tables.
    from rich.cells import cell_len

    names = [escape_control(name) for name in names]
    widths = [cell_len(name) for name in names]
    widest = max(widths, default=0)
    return [name + " " * (widest - x) for name, x in zip(names, widths, strict=True)]


def wrap_sentence(sentence: str) -> str:
    """Breaks a sentence that stands below a table into lines, though not within `1.2 [0.8, 1.6]`.

    Alike in a terminal and in a file, so that what was kept of two results can be compared.
    """
    held = re.sub(r" (?=\[)|(?<=,) (?=[^][]*\])", "\N{NO-BREAK SPACE}", sentence)
    lines = textwrap.wrap(held, _LINE_COLUMNS, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
