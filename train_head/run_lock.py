"""Who may train a run."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lrcn.common.run_dir import RunDir


@contextlib.contextmanager
def lock_run(run: RunDir) -> Iterator[None]:
    """Keeps a second training out of the run; the lock goes with the process, however it ends.

    A folder is made where there is none, and goes again if nothing is written to it.

    Raises:
        RuntimeError: If another process trains it.
    """
    made = [path for path in (run.path, *run.path.parents) if not path.exists()]
    run.path.mkdir(parents=True, exist_ok=True)
    folder = os.open(run.path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(
                    f"{run.path}: another training is writing to this run. Wait until it ends, or "
                    "name another folder (--run_dir, or --output_dir of programs that train "
                    "several runs)."
                ) from None
        yield
    finally:
        _remove_empty(made)
        os.close(folder)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):  # the first that holds something
        for folder in folders:
            folder.rmdir()
