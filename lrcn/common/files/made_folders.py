"""Folders that a program makes for what it writes, and removes where it writes nothing."""

import contextlib
from pathlib import Path


def find_missing(folder: Path) -> list[Path]:
    """Finds which are still to be made of a folder and those that it lies in, itself first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Removes folders, each in the next one, up to the first that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
