"""How numbers and lists are said."""

from collections.abc import Sequence


def name_count(number: int, noun: str) -> str:
    """Returns `1 clip`, `2 clips` or `1,234 clips`; the noun is one of those that get an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """Names the first few, and says how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
