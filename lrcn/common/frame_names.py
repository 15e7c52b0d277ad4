"""Whether the names of a folder's images tell one sequence, and its order."""

import collections
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from lrcn.common.frame import UnreadableClipError

_DIGITS = re.compile("[0-9]+")
# `t_0.05` or `t_0,05`, as programs print a time, or `t_-1`; not a version such as 1.2.3.
_NUMBER_AT_END = re.compile(r"(?s:(.*?))(?<![0-9.])(?<![0-9],)(-?)([0-9]+(?:[.,][0-9]+)?)")
_HEXADECIMAL_AT_END = re.compile("(?s:(.*?))([0-9a-f]+)")
_MAX_NAMED = 4


def check_frame_names(folder: Path, names: Sequence[str]) -> None:
    """Checks that a folder's images are the frames of one sequence whose order is known.

    Several have names that differ by more than numbers, and more than one number in common, such as
    the images and the optical flow of a video, or every frame as JPEG and as PNG. The order is not
    known where the names end with numbers that rise otherwise than whole ones do: with decimals
    (0.05, 0.1, 0.15), with a sign (-1, 0, 1), or hexadecimal (09, 0a, 10).

    Args:
        folder: Where they lie, for the error.
        names: The files' names in natural order.

    Raises:
        UnreadableClipError: If they are several sequences, or their order is ambiguous.
    """
    _check_order(folder, names)
    _check_one_sequence(folder, names)


def _check_order(folder: Path, names: Sequence[str]) -> None:
    stems = [os.path.splitext(name)[0].casefold() for name in names]
    for kind, values in (
        ("numbers with decimals or a sign", _read_decimals(stems)),
        ("hexadecimal numbers", _read_hexadecimals(stems)),
    ):
        for i in range(1, len(values)):
            if values[i] < values[i - 1]:
                raise UnreadableClipError(
                    f"{folder}: expected names that tell the order of the frames, received {kind}, "
                    f"of which {names[i - 1]} comes before {names[i]} as whole numbers do. Rename "
                    "the files to whole numbers in the order of the frames, such as 0001 and 0002."
                )


def _check_one_sequence(folder: Path, names: Sequence[str]) -> None:
    names_of = collections.defaultdict(list)
    for name in names:
        names_of[_DIGITS.sub("#", name.casefold())].append(name)
    if len(names_of) == 1:  # the rule, which needs no look at the numbers
        return
    first_of: dict[tuple[str, ...], str] = {}
    num_shared = collections.Counter()
    for pattern in sorted(names_of):
        for numbers in {_read_numbers(name) for name in names_of[pattern]}:
            first = first_of.setdefault(numbers, pattern)
            num_shared[first, pattern] += first != pattern
    # One number may be that of a picture beside the frames, such as thumb_1.jpg.
    several = {pair: count for pair, count in num_shared.items() if count > 1}
    if several:
        patterns = sorted({pattern for pair in several for pattern in pair})
        raise UnreadableClipError(
            f"{folder}: expected the frames of one sequence, received {len(patterns)} with "
            f"{max(several.values())} numbers in common: {', '.join(patterns[:_MAX_NAMED])}. Keep "
            "one of them in this folder, and move the others elsewhere."
        )


def _read_numbers(name: str) -> tuple[str, ...]:
    # As text, since int() refuses very long ones.
    return tuple(digits.lstrip("0") for digits in _DIGITS.findall(name))


def _read_decimals(stems: Sequence[str]) -> list[Decimal]:
    """Reads the numbers that names end with; none where they are whole and without a sign."""
    # In natural order, those with a sign come last. Where the first has one too, it is a dash.
    ends = [_NUMBER_AT_END.fullmatch(stem) for stem in (stems[0], stems[-1])]
    has_sign = None not in ends and not ends[0][2] and bool(ends[1][2])
    if not has_sign and not any("." in stem or "," in stem for stem in stems):
        return []
    matches = [_NUMBER_AT_END.fullmatch(stem) for stem in stems]
    if None in matches:
        return []
    if len({match[1] if has_sign else match[1] + match[2] for match in matches}) > 1:
        return []
    values = [
        Decimal((match[2] if has_sign else "") + match[3].replace(",", ".")) for match in matches
    ]
    # Of equal values, such as 1.1 and 1.10, the numbers are whole ones.
    return values if len(set(values)) == len(values) else []


def _read_hexadecimals(stems: Sequence[str]) -> list[str]:
    """Reads the hexadecimal numbers that names end with; none where their lengths differ."""
    matches = [_HEXADECIMAL_AT_END.fullmatch(stem) for stem in stems]
    if None in matches or len({(match[1], len(match[2])) for match in matches}) > 1:
        return []
    return [match[2] for match in matches]
