"""The list of a cache's clips that failed, `failures.csv`, which users open and may save anew."""

from pathlib import Path

from lrcn.common.csv_table import read_table

COLUMNS = ["clip_id", "path", "reason"]


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
