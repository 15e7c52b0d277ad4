"""Who may train a run, write its score, or write folds."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.made_folders import find_missing, remove_empty


@contextlib.contextmanager
def lock_run(run: RunDir, *, waits: bool = False) -> Iterator[None]:
    """Keeps a second program out of a run, or of folds; the lock goes with the process, however
    that ends.

    A folder is made where there is none, and goes again if nothing is written to it.

    Raises:
        RuntimeError: If another process has it, and nobody `waits`.
    """
    made = find_missing(run.path)
    folder = _open_locked(run.path, waits=waits)
    try:
        yield
    finally:
        remove_empty(made)
        os.close(folder)


def _open_locked(path: Path, *, waits: bool) -> int:
    """Opens the folder, made where there is none, and locks it; returns its descriptor."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder = os.open(path, os.O_RDONLY)
            try:
                _lock(folder, path, waits=waits)
                # A training that was refused may have removed the folder since it was opened.
                if os.path.samestat(os.fstat(folder), os.stat(path)):
                    return folder
            except BaseException:
                os.close(folder)
                raise
            os.close(folder)


def _lock(folder: int, path: Path, *, waits: bool) -> None:
    with contextlib.suppress(OSError):  # some network file systems lock no folders
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RuntimeError(
                f"{path}: another program is writing to this folder. Wait until it ends, or name "
                "another (--run_dir, or --output_dir of programs that train several runs)."
            ) from None
