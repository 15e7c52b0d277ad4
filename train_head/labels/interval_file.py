"""Intervals with a label, as a .csv file has them: in seconds or in frames, half-open."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from lrcn.common.clips.clip import check_label
from lrcn.common.clips.span import round_sec
from lrcn.common.files.csv_table import read_table
from lrcn.common.files.natural_sort import natural_key

SEC_COLUMNS = ("start_sec", "end_sec")
FRAME_COLUMNS = ("start_frame", "end_frame")
EXPECTED_COLUMNS = (
    "Expected the columns clip_id,start_sec,end_sec,label, or clip_id,start_frame,end_frame,label, "
    "separated by commas or semicolons"
)


class Interval(NamedTuple):
    """A label from `start` to before `end`, in seconds or frames, and where it was read."""

    start: float
    end: float
    label: str
    place: str


def read_intervals(
    path: Path, known_ids: Collection[str]
) -> tuple[bool, dict[str, list[Interval]]]:
    """Reads intervals.

    Args:
        path: The .csv file.
        known_ids: The clips that it may name.

    Returns:
        Whether they are in seconds, and {clip_id: its intervals}.

    Raises:
        ValueError: If the file breaks a rule, names an unknown clip, or gives a moment two labels.
    """
    table = read_table(path)
    columns = _find_columns(table.header, place=f"{path}:1")
    known_ids, intervals = set(known_ids), defaultdict(list)
    for line, cells in table.rows:
        place = f"{path}:{line}"
        row = dict(zip(table.header, cells, strict=True))
        interval = _parse(row, columns, parse_number=table.parse_number, place=place)
        if row["clip_id"] not in known_ids:
            raise ValueError(
                f"{place}: unknown clip {row['clip_id']!r}. Expected a clip_id of the cache's "
                f"manifest, such as {min(known_ids, key=natural_key)!r}. If the clip is new, "
                "extract or import it first; else correct the name, or remove the row."
            )
        intervals[row["clip_id"]].append(interval)
    for of_clip in intervals.values():
        _check_overlaps(of_clip)
    return columns == SEC_COLUMNS, intervals


def _find_columns(header: Sequence[str], *, place: str) -> tuple[str, str]:
    columns = next((x for x in (SEC_COLUMNS, FRAME_COLUMNS) if set(x) <= set(header)), None)
    if columns is None or not {"clip_id", "label"} <= set(header):
        raise ValueError(
            f"{place}: {EXPECTED_COLUMNS}. Received: {','.join(header)}. Correct the header."
        )
    if len(set(header)) < len(header) or {*SEC_COLUMNS, *FRAME_COLUMNS} & set(header) != {*columns}:
        raise ValueError(
            f"{place}: {EXPECTED_COLUMNS}, each once, and not both seconds and frames. Received: "
            f"{','.join(header)}. Remove what is too much."
        )
    return columns


def _parse(
    row: dict, columns: tuple[str, str], *, parse_number: Callable[[str], float], place: str
) -> Interval:
    check_label(row["label"], place=place)
    start_text, end_text = (row[column] for column in columns)
    try:
        numbers = [parse_number(text) for text in (start_text, end_text)]
    except ValueError:
        numbers = [math.nan, math.nan]
    start, end = map(float, round_sec(numbers))
    # NaN is neither more nor less, so it is refused as well. What is rounded may be infinite.
    if not (0 <= start < end and math.isfinite(numbers[1])):
        raise ValueError(
            f"{place}: expected numbers {columns[0]} from 0 on and {columns[1]} behind it, which "
            f"is not part of the interval. Received: {start_text!r} and {end_text!r}. Correct "
            "them, or remove the row."
        )
    return Interval(start, end, row["label"], place)


def _check_overlaps(intervals: list[Interval]) -> None:
    latest = None
    for interval in sorted(intervals, key=lambda x: x.start):
        if latest is not None and interval.start < latest.end and interval.label != latest.label:
            raise ValueError(
                f"{interval.place}: {interval.label!r} from {interval.start:g} to {interval.end:g} "
                f"overlaps with {latest.label!r} from {latest.start:g} to {latest.end:g} "
                f"({latest.place}). Expected one label for a frame. Shorten one of them."
            )
        if latest is None or interval.end > latest.end:
            latest = interval
