"""How numbers are said."""


def name_count(number: int, noun: str) -> str:
    """Returns `1 clip`, `2 clips` or `1,234 clips`; the noun is one of those that get an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
