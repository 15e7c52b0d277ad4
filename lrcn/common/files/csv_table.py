"""Tables that users write, and other text: CSV files as spreadsheets leave them, in UTF-8."""

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lrcn.common.files.atomic_file import name_file
from lrcn.common.files.unreadable import check_is_file

_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


class Table(NamedTuple):
    """A CSV file that is being read.

    Attributes:
        header: The cells of its first line.
        rows: The line, from 1, and the cells of each row below it.
        separator: Between cells.
    """

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]
    separator: str

    def parse_number(self, text: str) -> float:
        """Parses a number as `float` does, but refuses `1_0`, which is 10 to Python alone.

        The decimal point may be a comma where commas do not separate cells. Where they do, it is
        refused: `"1,234"` may be a thousand.

        Raises:
            ValueError: If it is none.
        """
        if "_" in text:
            raise ValueError(f"expected a number, received {text!r}")
        return float(text if self.separator == "," else text.replace(",", "."))


def read_table(csv_path: str | os.PathLike) -> Table:
    """Reads a CSV file of commas, semicolons or tabs: the header tells which.

    Spreadsheets write semicolons where the comma is the decimal point. They add rows of nothing but
    separators, which are left out, and empty columns behind the last one, which are cut off.

    Raises:
        ValueError: If it is no CSV of UTF-8. Also, as the rows are read, if one has not as many
            cells as the header. The message names the file and the line.
    """
    text = read_utf8(csv_path)
    separator = _find_separator(text)
    lines = _iter_lines(text, csv_path, separator=separator)
    _, header = next(lines)
    return Table(header, lines, separator)


def _find_separator(text: str) -> str:
    first_line = re.split("[\r\n]", text, maxsplit=1)[0]  # some spreadsheets end lines with \r
    return next((x for x in ",;\t" if x in first_line), ",")


def _iter_lines(
    text: str, csv_path: str | os.PathLike, *, separator: str
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    name = _SEPARATOR_NAMES[separator]
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
                    remedy = f"Quote cells that hold {name}."
                    if len(cells) < len(header):  # as Excel leaves out empty cells at the end
                        remedy = f"Add the others, of empty ones the {name} before them."
                    raise ValueError(
                        f"{csv_path}:{line}: expected {len(header)} cells as in the header, "
                        f"received {len(cells)}. {remedy}"
                    )
                yield line, cells
    except csv.Error as error:
        raise ValueError(
            f"{csv_path}:{next_line}: expected a row of CSV, but: {error}. Quote cells that "
            f'hold {name} or quotes, and double the quotes inside ("say ""hi""").'
        ) from error


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
        content, place = error.object, error.start  # both without the mark
        line = len(re.findall(b"\r\n?|\n", content[:place])) + 1
        raise ValueError(
            f"{path}:{line}: expected UTF-8 text, received byte 0x{content[place]:02x}. "
            "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from error


def read_lines(path: str | os.PathLike) -> list[str]:
    """Reads the lines of a text file, which end as on any system (old Macs': `\\r`). Errors as
    `read_utf8`.
    """
    text = read_utf8(path).replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def _drop_empty_cells(cells: list[str], *, num_kept: int) -> None:
    while len(cells) > num_kept and not cells[-1]:
        cells.pop()
