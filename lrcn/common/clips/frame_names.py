"""Whether the names of a folder's images tell one sequence, and its order."""

import collections
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from lrcn.common.files.alike_names import iter_alike
from lrcn.common.files.natural_sort import natural_key, natural_parts
from lrcn.common.files.unreadable import UnreadableClipError

_DIGITS = re.compile("[0-9]+")
# `t_0.05` or `t_0,05s`, as programs print a time, or `t_-1`; not a version such as 1.2.3.
_NUMBER_AT_END = re.compile(
    r"(?s:(.*?))(?<![0-9])(?<![0-9][.,])(-?)([0-9]+(?:[.,][0-9]+)?)([^0-9]*)"
)
# `9.00.05 PM`, as a Mac names a picture of the screen, with one separator or none.
_TWELVE_HOURS = re.compile(
    r"(?<![0-9])([0-9]{1,2})((?:([-.:_])[0-9]{2}(?:\3[0-9]{2})?)?)[\s_]?([ap])\.?m(?![a-z])"
)
# `31-01-2024`, of which day or month comes first.
_DATE = re.compile(r"(?<![0-9])([0-9]{1,2})([-._ ])([0-9]{1,2})\2((?:19|20)[0-9]{2})(?![0-9])")
_HEXADECIMAL_AT_END = re.compile("(?s:(.*?))([0-9a-f]+)")
_MAX_NAMED = 4


def check_frame_names(folder: Path, names: Sequence[str]) -> None:
    """Checks that a folder's images are the frames of one sequence whose order is known.

    Several have names that differ by more than numbers, and more than one number in common, such as
    the images and the optical flow of a video, or every frame as JPEG and as PNG. Names that differ
    by case or Unicode form alone are of one frame that is there twice. The order is not known where
    the names end with numbers that rise otherwise than whole ones do: with decimals (0.05, 0.1,
    0.15), with a sign (-1, 0, 1), or hexadecimal (09, 0a, 10). Nor where the names have times such
    as 9 AM and 1 PM, or dates that end with the year, and these rise otherwise.

    Args:
        folder: Where they lie, for the error.
        names: The files' names in natural order.

    Raises:
        UnreadableClipError: If they are several sequences, a frame is there twice, or their order
            is ambiguous.
    """
    _check_each_once(folder, names)
    _check_order(folder, names)
    _check_one_sequence(folder, names)


def _check_each_once(folder: Path, names: Sequence[str]) -> None:
    pairs = [(names[first], names[i]) for i, first in iter_alike(names, ignore_case=True)]
    if pairs:
        raise UnreadableClipError(
            f"{folder}: expected every frame once, received {len(pairs)} of which names differ by "
            f"case or Unicode form alone, such as {pairs[0][0]!a} and {pairs[0][1]!a}. Remove one "
            "of each pair."
        )


def _check_order(folder: Path, names: Sequence[str]) -> None:
    stems = [os.path.splitext(name)[0].casefold() for name in names]
    for kind, values in (
        ("numbers with decimals or a sign", _read_decimals(stems)),
        ("hexadecimal numbers", _read_hexadecimals(stems)),
        ("times with am or pm", _read_twelve_hours(stems)),
        ("dates that end with the year", _read_dates(stems)),
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


def _read_decimals(stems: Sequence[str]) -> list[tuple]:
    """Reads the numbers that names end with, and what stands before them.

    What stands behind the numbers, such as a unit, is the same in all names.

    Returns:
        Nothing where the numbers are whole and have no sign, or some names are of another form.
    """
    # In natural order names with a minus sign come last. If the first has one, it is a dash.
    ends = [_NUMBER_AT_END.fullmatch(stem) for stem in (stems[0], stems[-1])]
    has_sign = None not in ends and not ends[0][2] and bool(ends[1][2])
    if not has_sign and not any("." in stem or "," in stem for stem in stems):
        return []
    matches = [_NUMBER_AT_END.fullmatch(stem) for stem in stems]
    if None in matches:
        return []
    # What stands before may differ by numbers, as of several cameras or minutes.
    starts = [match[1] if has_sign else match[1] + match[2] for match in matches]
    ends = [match[4] for match in matches]
    if len({(_DIGITS.sub("#", start), end) for start, end in zip(starts, ends, strict=True)}) > 1:
        return []
    numbers = [(match[2] if has_sign else "") + match[3].replace(",", ".") for match in matches]
    # Not `natural_key`, which ends with the text itself: 01_0.5 would come before 1_0.1.
    values = [
        (natural_parts(start), Decimal(number))
        for start, number in zip(starts, numbers, strict=True)
    ]
    # Where two values are equal, such as 1.1 and 1.10, the points separate whole numbers.
    return values if len(set(values)) == len(values) else []


def _read_hexadecimals(stems: Sequence[str]) -> list[str]:
    """Reads the hexadecimal numbers that names end with; none where their lengths differ."""
    matches = [_HEXADECIMAL_AT_END.fullmatch(stem) for stem in stems]
    if None in matches or len({(match[1], len(match[2])) for match in matches}) > 1:
        return []
    return [match[2] for match in matches]


def _read_twelve_hours(stems: Sequence[str]) -> list[tuple]:
    """Reads the times with am or pm, and what stands around; none where that is not known."""
    values = []
    for stem in stems:
        match = _TWELVE_HOURS.search(stem)
        # Behind the same separator, the first number may be of a date, and not the hour.
        if match is None or (match[3] and stem[: match.start()].endswith(match[3])):
            return []
        hour = int(match[1]) % 12 + (12 if match[4] == "p" else 0)
        before, after = stem[: match.start()], stem[match.end() :]
        values.append((natural_key(before), hour, match[2], natural_key(after)))
    return values


def _read_dates(stems: Sequence[str]) -> list[tuple]:
    """Reads the dates that end with the year, and what stands around; none where there are none."""
    readings = {"day first": [], "month first": []}
    for stem in stems:
        match = _DATE.search(stem)
        if match is None:
            return []
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        before, after = natural_key(stem[: match.start()]), natural_key(stem[match.end() :])
        readings["day first"].append((before, year, second, first, after))
        readings["month first"].append((before, year, first, second, after))
    possible = [x for x in readings.values() if all(month <= 12 for _, _, month, _, _ in x)]
    # Where both are possible, names that rise as one of them are in order.
    return next((x for x in possible if x == sorted(x)), possible[0] if possible else [])
