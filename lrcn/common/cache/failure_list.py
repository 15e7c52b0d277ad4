"""Clips that failed, and a cache's list of them, `failures.csv`, which users may save anew."""

from pathlib import Path
from typing import NamedTuple

from lrcn.common.clips.clip import Clip
from lrcn.common.files.csv_table import read_table

COLUMNS = ["clip_id", "path", "reason"]


class Failure(NamedTuple):
    """A clip that could not be read, or only in part, and why."""

    clip: Clip
    reason: str


def read_failure_rows(path: Path) -> list[list[str]]:
    """Reads the cells of `COLUMNS` for each clip; none where there is no such file.

    Raises:
        ValueError: If it is no such list any more.
    """
    if not path.exists():
        return []
    table = read_table(path)
    if table.header != COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {','.join(COLUMNS)}. Received: "
            f"{','.join(table.header)!r}. Delete it: the same extract_features (or "
            "import_features) command writes it again."
        )
    return [cells for _, cells in table.rows]
