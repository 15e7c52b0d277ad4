"""Names that look alike but differ: in Unicode form, in case, or in invisible characters."""

import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence

from absl import logging

from lrcn.common.files.natural_sort import fold_name, natural_parts

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
        shown = fold_name(name) if ignore_case else unicodedata.normalize("NFC", name)
        first = seen.setdefault(shown, i)
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

    It differs by case, or in Unicode form, as Macs write names, be it in a folder's name.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if not name:
        return None
    if folder and not os.path.isdir(folder):
        folder = find_alike_path(folder)
        if folder is None:
            return None
    try:
        listed = os.path.join(os.getcwd(), folder)  # a relative one is another one elsewhere
        names = _list_folded(listed, os.stat(listed).st_mtime_ns)
    except OSError:
        return None
    alike = os.path.join(folder, names.get(fold_name(name), name))
    return alike if os.path.exists(alike) else None


@functools.lru_cache(maxsize=128)
def _list_folded(folder: str, _mtime_ns: int) -> dict[str, str]:
    # Kept, as a manifest of another case has every clip looked for.
    return {fold_name(name): name for name in sorted(os.listdir(folder))}
