"""Who may train a run."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from lrcn.common.run_dir import RunDir


@contextlib.contextmanager
def lock_run(run: RunDir) -> Iterator[None]:
    """Keeps a second training out of the run; the lock goes with the process, however it ends.

    Raises:
        RuntimeError: If another process trains it.
    """
    folder = os.open(run.path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(
                    f"{run.path}: another training is writing to this run. Wait until it ends, or "
                    "name another --run_dir."
                ) from None
        yield
    finally:
        os.close(folder)
