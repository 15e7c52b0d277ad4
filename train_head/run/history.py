"""history.csv: a row of numbers for each epoch of a training, and the best of them."""

import csv
from pathlib import Path

from lrcn.common.files.atomic_file import replace_csv

COLUMNS = ("epoch", "loss", "top1", "val_loss", "val_top1", "learning_rate", "phase")
_COUNTS = ("epoch", "phase")
_ALWAYS = {"epoch", "loss", "top1", "learning_rate", "phase"}  # without val clips


def find_best_row(rows: list[dict[str, float]]) -> dict[str, float]:
    """Returns the row of the best epoch: the last of those with the highest top-1 on val.

    Without a val split that is the last epoch.
    """
    return max(rows, key=lambda row: (row.get("val_top1", 0.0), row["epoch"]))


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes `history.csv`; floats round trip exactly."""
    with replace_csv(path) as writer:
        writer.writerow(COLUMNS)
        writer.writerows([row.get(name, "") for name in COLUMNS] for row in rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Reads `history.csv`; a column that an epoch does not have is left out of its row.

    Raises:
        ValueError: If it is not what training wrote.
    """
    try:
        return parse_history(path)
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected a row of numbers for each epoch, as training wrote them. Received: "
            f"{error}. Undo the change, or copy the run again."
        ) from None


def parse_history(path: Path) -> list[dict[str, float]]:
    """As `read_history`, for who knows another remedy.

    Raises:
        ValueError, csv.Error: With the reason alone.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    if not rows:
        raise ValueError("no rows")
    if any(None in row for row in rows):
        raise ValueError("rows with more cells than columns")
    if any(_ALWAYS - row.keys() for row in rows):
        raise ValueError("rows with empty or missing columns")
    parsed = [{k: int(v) if k in _COUNTS else float(v) for k, v in row.items()} for row in rows]
    if any(row["epoch"] != number for number, row in enumerate(parsed, start=1)):
        raise ValueError("rows that are not of each epoch from 1 on, in order")
    return parsed
