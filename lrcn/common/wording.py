"""How numbers and lists are said."""

from collections.abc import Sequence


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
    """Fills names up with blanks to the width of the widest in a terminal."""
    # Chinese characters take two columns, accents behind a letter none. Few programs print tables.
    from rich.cells import cell_len

    widths = [cell_len(name) for name in names]
    widest = max(widths, default=0)
    return [name + " " * (widest - x) for name, x in zip(names, widths, strict=True)]
