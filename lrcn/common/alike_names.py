"""Names that look alike but differ: in Unicode form, in case, or in invisible characters."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence

from absl import logging

from lrcn.common.natural_sort import natural_parts

_NAMED_PAIRS = 5
# What spreadsheets and pandas make of a whole number.
_WHOLE_NUMBER = re.compile(r"([+-]?[0-9]+)\.0+")


def iter_alike(names: Sequence[str], *, ignore_case: bool) -> Iterator[tuple[int, int]]:
    """Finds the names that look like one before them, or are the same.

    An é may be one character, or an e and an accent: two texts that no reader tells apart.

    Args:
        names: The names.
        ignore_case: Whether names that differ by case count as alike.

    Yields:
        The position of the name, and of the first one like it.
    """
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        composed = unicodedata.normalize("NFC", name)
        first = seen.setdefault(composed.casefold() if ignore_case else composed, i)
        if first != i:
            yield i, first


def check_one_form(names: Sequence[str], *, kind: str, places: Sequence[str]) -> None:
    """Checks that no two names differ by their Unicode form alone.

    Args:
        names: The names.
        kind: What they are, for the error.
        places: Where each came from, such as `file:line`; the error starts with it.

    Raises:
        ValueError: If two do.
    """
    for i, first in iter_alike(names, ignore_case=False):
        if names[i] != names[first]:
            raise ValueError(
                f"{places[i]}: {kind} {names[i]!r} looks like {names[first]!r} ({places[first]}), "
                f"but is another text: {names[i]!a} and {names[first]!a}. Write both in "
                "one Unicode form."
            )


def warn_of_alike(names: Sequence[str], *, kind: str) -> None:
    """Warns of names that differ by case, zeros (01, 1.0) or signs that nobody sees alone.

    Args:
        names: The names, each once.
        kind: What they are, such as `Labels`.
    """
    seen: dict[tuple, str] = {}
    pairs = []
    for name in names:
        # Blanks of all kinds become one, and signs of format (Cf) cannot be seen.
        shown = unicodedata.normalize("NFKC", name)
        shown = "".join(x for x in shown if unicodedata.category(x) != "Cf")
        number = _WHOLE_NUMBER.fullmatch(shown)
        first = seen.setdefault(natural_parts(number[1] if number else shown), name)
        if first != name:
            pairs.append(f"{first!r} and {name!r}")
    if pairs:
        logging.warning(
            "%s that differ by case, zeros (01, 1.0) or unseen signs alone count as several (%d): "
            "%s. Write them alike if they are meant as one",
            kind,
            len(pairs),
            ", ".join(pairs[:_NAMED_PAIRS]),
        )


def find_alike_path(path: str) -> str | None:
    """Finds a path that exists and looks like one that does not.

    It differs in Unicode form, as Macs write names, or in the case of its suffix.
    """
    stem, suffix = os.path.splitext(path)
    others = [unicodedata.normalize(form, path) for form in ("NFC", "NFD")]
    others += [stem + suffix.lower(), stem + suffix.upper()]
    return next(filter(os.path.exists, others), None)
