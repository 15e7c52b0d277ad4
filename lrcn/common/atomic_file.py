"""Writes files so that a file that exists under its name is whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replace_file(path: Path, *, keep_ending: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, moved over it when the block ends well.

    The data is on the disk before the name is: a kill or a power cut leaves either the old
    file or the new one, never a half. If the block raises, the temporary file is removed.

    Args:
        path: The file's final path.
        keep_ending: Whether the temporary name ends like the final one, for Keras, which tells the
            format by it. Not for files that others look for by their ending.

    Raises:
        OSError: If the folder cannot be written; the caller's own errors pass through.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp.{path.name}") if keep_ending else make_temporary_path(path)
    try:
        yield temporary
        commit_file(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # Writing to an open file, as on a full disk, fails without its name.
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_temporary_path(path: Path) -> Path:
    """The name under which `path` is written before it exists."""
    return path.with_name(f".{path.name}.tmp")


def commit_file(temporary: Path, path: Path) -> None:
    """Makes a finished, closed temporary file durable under its final name."""
    _fsync(temporary, os.O_RDWR)
    os.replace(temporary, path)
    _fsync(path.parent, os.O_RDONLY)


def _fsync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
