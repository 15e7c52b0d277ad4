"""Whether the names of a folder's images tell one sequence, and its order."""

import collections
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from lrcn.common.frame import UnreadableClipError

_DIGITS = re.compile("[0-9]+")
# `t_0.05`, as Python prints a time; not a version such as 1.2.3.
_DECIMAL_STEM = re.compile(r"(?s:(.*?))(?<![0-9.])([0-9]+(?:\.[0-9]+)?)")
_MAX_NAMED = 4


def check_frame_names(folder: Path, names: Sequence[str]) -> None:
    """Checks that a folder's images are the frames of one sequence whose order is known.

    Several have names that differ by more than numbers, and the same numbers, such as the images
    and the optical flow of a video, or every frame as JPEG and as PNG. The order is not known where
    the names end with decimal numbers that rise otherwise than whole ones: 0.05, 0.1, 0.15.

    Args:
        folder: Where they lie, for the error.
        names: The files' names in natural order.

    Raises:
        UnreadableClipError: If they are several sequences, or their order is ambiguous.
    """
    names_of = collections.defaultdict(list)
    for name in names:
        names_of[_DIGITS.sub("#", name.casefold())].append(name)
    patterns_of = collections.defaultdict(list)
    # One pattern is the rule, and needs no look at the numbers.
    for pattern in sorted(names_of) if len(names_of) > 1 else ():
        numbers = frozenset(_read_numbers(name) for name in names_of[pattern])
        if len(numbers) > 1:
            patterns_of[numbers].append(pattern)
    for numbers, patterns in patterns_of.items():
        if len(patterns) > 1:
            raise UnreadableClipError(
                f"{folder}: expected the frames of one sequence, received {len(patterns)} with the "
                f"same {len(numbers)} numbers: {', '.join(patterns[:_MAX_NAMED])}. Keep one of "
                "them in this folder, and move the others elsewhere."
            )
    _check_decimal_order(folder, names)


def _read_numbers(name: str) -> tuple[str, ...]:
    # As text, since int() refuses very long ones.
    return tuple(digits.lstrip("0") for digits in _DIGITS.findall(name))


def _check_decimal_order(folder: Path, names: Sequence[str]) -> None:
    if not any("." in os.path.splitext(name)[0] for name in names):
        return
    matches = [_DECIMAL_STEM.fullmatch(os.path.splitext(name)[0]) for name in names]
    if None in matches or len({match[1] for match in matches}) > 1:
        return
    values = [Decimal(match[2]) for match in matches]
    # Of equal values, such as 1.1 and 1.10, the numbers are whole ones.
    if len(set(values)) < len(values):
        return
    for i in range(1, len(values)):
        if values[i] < values[i - 1]:
            raise UnreadableClipError(
                f"{folder}: expected names that tell the order of the frames, received decimal "
                f"numbers without a fixed number of digits, of which {names[i - 1]} comes before "
                f"{names[i]} as whole numbers do. Rename the files, such as 0.050 in place of 0.05."
            )
