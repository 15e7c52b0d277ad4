"""The manifest, a CSV file with a row for each clip, and the class names behind its labels.

`read_manifest` and `write_manifest` hold the same rules: what one writes, the other reads back
unchanged.
"""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lrcn.common.clips.clip import Clip, check_clips, check_label
from lrcn.common.files.alike_names import check_one_form
from lrcn.common.files.atomic_file import write_text, write_texts
from lrcn.common.files.csv_table import Table, read_lines, read_table
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.wording import name_some

COLUMNS = tuple(field.name for field in dataclasses.fields(Clip))
_REQUIRED_COLUMNS = COLUMNS[:3]
_MAX_NAMED = 20  # classes, of which there may be thousands
_EXPECTED_HEADER = (
    f"Expected the columns {','.join(_REQUIRED_COLUMNS)} and, optionally, "
    f"{','.join(COLUMNS[3:])}, separated by commas or semicolons"
)


def read_manifest(csv_path: str | os.PathLike) -> list[Clip]:
    """Reads and checks a manifest.

    Args:
        csv_path: UTF-8 CSV file with a header; the columns may come in any order.

    Returns:
        The clips in the order of the file, at least one.

    Raises:
        ValueError: If a rule is broken; the message names the file and the line.
    """
    rows = list(_iter_rows(csv_path))
    clips = [clip for _, clip in rows]
    _check_not_empty(clips, csv_path)
    check_clips(clips, places=[f"{csv_path}:{line}" for line, _ in rows])
    return clips


def find_lines(csv_path: str | os.PathLike) -> dict[str, int]:
    """Finds the line, from 1, on which each clip_id of a manifest stands. Errors as above."""
    return {clip.clip_id: line for line, clip in _iter_rows(csv_path)}


def write_manifest(csv_path: str | os.PathLike, clips: Sequence[Clip]) -> None:
    """Checks the clips and writes them with all columns; the file appears whole or not at all.

    Raises:
        ValueError: If a rule is broken; nothing is written then.
    """
    write_manifests({Path(csv_path): clips})


def write_manifests(manifests: Mapping[Path, Sequence[Clip]]) -> None:
    """Writes manifests that belong together, see `write_texts`. Errors as `write_manifest`."""
    write_texts({path: _format_manifest(clips, path) for path, clips in manifests.items()})


def _format_manifest(clips: Sequence[Clip], path: Path) -> str:
    _check_not_empty(clips, path)
    check_clips(clips, places=[f"{path}: clip {i + 1}" for i in range(len(clips))])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        span = ["" if sec is None else repr(float(sec)) for sec in clip.span]
        writer.writerow([clip.clip_id, clip.path, clip.label, clip.split, clip.group, *span])
    return text.getvalue()


def find_class_names(clips: Iterable[Clip]) -> list[str]:
    """Returns the labels in natural order: `3_walk` before `10_run`."""
    return sorted({clip.label for clip in clips}, key=natural_key)


def find_class_ids(
    clips: Iterable[Clip], class_names: Sequence[str], *, where: Path | None = None
) -> list[int]:
    """Returns each clip's class id, its label's position in `class_names`.

    Args:
        clips: The clips.
        class_names: The classes.
        where: The file that they come from and may be added to, for the error.

    Raises:
        ValueError: If a label is not among `class_names`.
    """
    class_ids = {name: i for i, name in enumerate(class_names)}
    ids = []
    for clip in clips:
        if clip.label not in class_ids:
            places = [*[str(where or "the classes")] * len(class_names), f"clip {clip.clip_id!r}"]
            check_one_form([*class_names, clip.label], kind="label", places=places)
            raise ValueError(
                f"clip {clip.clip_id!r}: unknown label {clip.label!r}. The classes are "
                f"{name_some([*map(repr, class_names)], limit=_MAX_NAMED)}. Correct the label"
                + (
                    f", or add it to {where} as its last line. Where a class has another name now, "
                    "rename its line there."
                    if where
                    else "."
                )
            )
        ids.append(class_ids[clip.label])
    return ids


def read_class_names(path: str | os.PathLike) -> list[str]:
    """Reads `classes.txt`: one class name a line, the first line is class 0.

    Raises:
        ValueError: If it is empty or a line is blank, repeated or no class name.
    """
    lines = read_lines(path)
    if not any(map(str.strip, lines)):
        raise ValueError(
            f"{path}: expected a class name a line. Received: an empty file. Copy it anew. That of "
            "a cache may be deleted: the same extract_features (or import_features) command "
            "writes it again."
        )
    _check_class_names(lines, path)
    return lines


def write_class_names(path: str | os.PathLike, names: Sequence[str]) -> None:
    """Writes `classes.txt`; the file appears whole or not at all.

    Raises:
        ValueError: If there is no name, or one is blank, repeated or no class name.
    """
    _check_class_names(names or [""], path)
    write_text(Path(path), "".join(f"{name}\n" for name in names))


def _iter_rows(csv_path: str | os.PathLike) -> Iterator[tuple[int, Clip]]:
    table = read_table(csv_path)
    _check_header(table.header, place=f"{csv_path}:1")
    for line, cells in table.rows:
        yield line, _parse_row(table, cells, place=f"{csv_path}:{line}")


def _check_class_names(names: Sequence[str], path: str | os.PathLike) -> None:
    line_of: dict[str, int] = {}
    for line, name in enumerate(names, start=1):
        check_label(name, place=f"{path}:{line}")
        if line_of.setdefault(name, line) != line:
            raise ValueError(
                f"{path}:{line}: expected a class name once, but {name!r} stands also on line "
                f"{line_of[name]}. Remove one; mind that the line number is the class id."
            )
    places = [f"{path}:{line}" for line in range(1, len(names) + 1)]
    check_one_form(names, kind="class name", places=places)


def _check_not_empty(clips: Sequence[Clip], csv_path: str | os.PathLike) -> None:
    if not clips:
        raise ValueError(
            f"{csv_path}: expected a row for each clip below the header, but there is no clip. "
            "Add clips."
        )


def _check_header(header: list[str], *, place: str) -> None:
    if not header:
        raise ValueError(
            f"{place}: no header, as in an empty file. {_EXPECTED_HEADER}. Write it there, or copy "
            "the file anew. That of a cache may be deleted: the same extract_features (or "
            "import_features) command writes it again."
        )
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        raise ValueError(
            f"{place}: unknown column {', '.join(map(repr, unknown))[:200]}. {_EXPECTED_HEADER}. "
            "Rename or remove what is not among them; the first line must be this header."
        )
    missing = [name for name in _REQUIRED_COLUMNS if name not in header]
    if missing:
        raise ValueError(
            f"{place}: no column {', '.join(map(repr, missing))}. {_EXPECTED_HEADER}; "
            f"received {','.join(header)!r}. Add what is missing to the header and the rows."
        )
    if len(set(header)) < len(header):
        raise ValueError(
            f"{place}: a column stands twice. {_EXPECTED_HEADER}, each once; "
            f"received {','.join(header)!r}. Remove one."
        )


def _parse_row(table: Table, cells: list[str], *, place: str) -> Clip:
    row: dict = dict(zip(table.header, cells, strict=True))
    for column in ("start_sec", "end_sec"):
        text = row.get(column, "")
        try:
            row[column] = table.parse_number(text) if text else None
        except ValueError:
            raise ValueError(
                f"{place}: expected {column} in seconds, such as 1.5, received {text!r}. "
                "Correct it, or leave it empty."
            ) from None
    return Clip(**row)
