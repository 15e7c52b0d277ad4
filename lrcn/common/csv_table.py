"""Tables that users write, and other text: CSV files as spreadsheets leave them, in UTF-8."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lrcn.common.atomic_file import name_file
from lrcn.common.unreadable import check_is_file


def iter_table(csv_path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    """Yields the line, from 1, and the cells of a CSV file's header, and then of each row.

    Spreadsheets add rows of nothing but commas, which are left out, and columns that they show as
    empty, which are cut off behind the header's last name.

    Raises:
        ValueError: If it is no CSV of UTF-8, or a row has not the header's number of cells; the
            message names the file and the line.
    """
    reader = csv.reader(io.StringIO(read_utf8(csv_path), newline=""), strict=True)
    next_line = 1
    try:
        header = next(reader, [])
        _drop_empty_cells(header, num_kept=0)
        yield 1, header
        next_line = reader.line_num + 1
        for cells in reader:
            # A quoted cell may span lines: the row is named by its first.
            line, next_line = next_line, reader.line_num + 1
            if any(cells):
                _drop_empty_cells(cells, num_kept=len(header))
                if len(cells) != len(header):
                    raise ValueError(
                        f"{csv_path}:{line}: expected {len(header)} cells as in the header, "
                        f"received {len(cells)}. Quote cells that hold commas."
                    )
                yield line, cells
    except csv.Error as error:
        raise ValueError(
            f"{csv_path}:{next_line}: expected a row of CSV, but: {error}. Quote cells that "
            'hold commas or quotes, and double the quotes inside ("say ""hi""").'
        ) from error


def find_separator_remedy(header: Sequence[str]) -> str | None:
    """Returns what to do about a table that a spreadsheet saved without commas, None for others."""
    if len(header) == 1 and any(separator in header[0] for separator in ";\t"):
        return "Save the file with commas between all cells."
    return None


def read_utf8(path: str | os.PathLike) -> str:
    """Reads a text file, with or without a byte order mark.

    Raises:
        ValueError: If it is not UTF-8; the message names the file and the line. Also if it is a
            pipe, which may keep a program waiting for ever and gives its content only once.
    """
    check_is_file(path, os.stat(path).st_mode)
    with name_file(path):  # a disk that fails once the file is open says no name
        content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: expected UTF-8 text, received byte 0x{content[error.start]:02x}. "
            "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from error


def parse_number(text: str) -> float:
    """As `float`, but for what Python alone takes for a number: to it `1_0` is 10, who typed it may
    have meant 1.0.

    Raises:
        ValueError: If it is none.
    """
    if "_" in text:
        raise ValueError(f"expected a number, received {text!r}")
    return float(text)


def _drop_empty_cells(cells: list[str], *, num_kept: int) -> None:
    while len(cells) > num_kept and not cells[-1]:
        cells.pop()
