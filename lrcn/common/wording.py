"""How numbers and lists are said."""

import unicodedata
from collections.abc import Sequence


def name_count(number: int, noun: str) -> str:
    """Returns `1 clip`, `2 clips` or `1,234 clips`; the noun is one of those that get an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """Names the first few, and says how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def pad_names(names: Sequence[str]) -> list[str]:
    """Fills names up with blanks to the width of the widest in a terminal."""
    widths = [_find_width(name) for name in names]
    return [name + " " * (max(widths) - x) for name, x in zip(names, widths, strict=True)]


def _find_width(text: str) -> int:
    # Chinese characters take two columns, accents and joiners behind a letter none (UAX #11).
    shown = [x for x in text if unicodedata.category(x) not in ("Mn", "Me", "Cf")]
    return sum(2 if unicodedata.east_asian_width(x) in "WF" else 1 for x in shown)
