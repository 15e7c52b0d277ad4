"""Writes files so that a file that exists under its name is whole.

Two programs may write one file at once. Each has a temporary file with a name of its own, and the
file is that of the last to finish. A lock on the temporary file says that its writer lives: what
was left by one that was killed goes when the same file is written again.
"""

import contextlib
import csv
import errno
import fcntl
import os
import re
import secrets
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from lrcn.common.files.hidden_names import is_hidden

# Errors of file systems that sync files but no folders, such as a host's folder that a virtual
# machine shares. PostgreSQL ignores the same ones (fsync_fname_ext in fd.c).
_NO_FOLDER_SYNC = {errno.EBADF, errno.EINVAL}
# Far behind all content. On a Windows share (SMB) a lock keeps other handles from writing what it
# covers, and the writer of a temporary file opens it a second time, by its name.
_LOCKED_BYTE = 1 << 62
_TEMPORARY_PATTERN = re.compile(r"\.(?P<final>.+?)(?:\.[0-9a-f]{8})?\.tmp", re.DOTALL)


@contextlib.contextmanager
def replace_file(path: Path, *, keep_ending: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, moved over it when the block ends well.

    The data is on the disk before the name is: a kill or a power cut leaves either the old
    file or the new one, never a half. If the block raises, the temporary file is removed.

    Args:
        path: The file's final path.
        keep_ending: Whether the temporary name ends like the final one, for Keras, which tells the
            format by it. Not for files that others look for by their ending, nor for those that
            two programs may write at once: the name is always the same.

    Raises:
        OSError: If the folder cannot be written; the caller's own errors pass through.
        ValueError: If the block writes nothing.
    """
    path = Path(path)
    with (
        contextlib.nullcontext(path.with_name(f".tmp.{path.name}"))
        if keep_ending
        else _make_own_file(path)
    ) as temporary:
        try:
            with name_file(path):
                yield temporary
                if not temporary.stat().st_size:
                    raise ValueError(f"{path}: expected content, but nothing was written.")
                commit_file(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file, which appears whole or not at all; errors as `replace_file`."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Writes UTF-8 files that belong together, each of which appears whole or not at all.

    All are written before the first gets its name. So where a kill comes between two names, the
    temporary files of the others show that they belong to it. Errors as `replace_file`.
    """
    with contextlib.ExitStack() as stack:
        for path, text in texts.items():
            temporary = stack.enter_context(replace_file(path))
            temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replace_csv(path: Path) -> Iterator:
    """Yields what `csv.writer` gives, for a UTF-8 file as `replace_file` has it, errors too."""
    with (
        replace_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        yield csv.writer(file)


def check_can_write(folder: Path) -> None:
    """Checks that files can be made in a folder, before long work whose result goes there.

    Nothing is written.

    Raises:
        PermissionError: If not, also where the disk is read-only.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written to", str(folder))


@contextlib.contextmanager
def name_file(path: str | Path) -> Iterator[None]:
    """Names the file in an error of the block that names none.

    Writing to an open file, as on a full disk, fails without its name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def name_zip_file(path: str | Path) -> Iterator[None]:
    """As `name_file`. Where the disk fails, raises its error, and not that it is no zip file.

    Of a file that is damaged, `zipfile` also says that it does not know such a kind: a bad one too.
    """
    with name_file(path):
        try:
            yield
        except zipfile.BadZipFile as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        except NotImplementedError as error:
            raise zipfile.BadZipFile(str(error)) from error


def make_temporary_path(path: Path) -> Path:
    """The name under which `path` is written before it exists, where a lock allows one writer."""
    return path.with_name(f".{path.name}.tmp")


def get_final_name(name: str) -> str:
    """The name of the file that a temporary one was to become; any other name as it is."""
    match = _TEMPORARY_PATTERN.fullmatch(name)
    return match["final"] if match else name


def list_final_names(folder: Path) -> set[str]:
    """Lists a folder, temporary files by their final names; empty where there is no folder.

    Hidden entries are left out: a new disk and the Mac's Finder make some that users do not see.
    """
    names = map(get_final_name, os.listdir(folder)) if folder.is_dir() else ()
    return {name for name in names if not is_hidden(name)}


def commit_file(temporary: Path, path: Path) -> None:
    """Makes a finished, closed temporary file durable under its final name."""
    _fsync(temporary, os.O_RDWR)
    os.replace(temporary, path)
    try:
        _fsync(path.parent, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


@contextlib.contextmanager
def _make_own_file(path: Path) -> Iterator[Path]:
    """Makes an empty temporary file that no other writer has, locked within the block."""
    _remove_leftovers(path)
    while True:
        with _open_new_file(path) as file:
            with contextlib.suppress(OSError):  # some network file systems lock no files
                _lock(file, waits=True)
            # Another writer may have taken it for a leftover before it was locked.
            if os.path.exists(file.name):
                yield Path(file.name)
                return


def _open_new_file(path: Path) -> BinaryIO:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        return open(temporary, "xb")
    except OSError as error:  # with the name that users know
        raise OSError(error.errno, error.strerror, str(path)) from error


def _remove_leftovers(path: Path) -> None:
    with contextlib.suppress(OSError):  # what is wrong with the folder, writing to it tells
        for name in os.listdir(path.parent):
            if name != path.name and get_final_name(name) == path.name:
                # Not where the lock is held, or where there are no locks.
                with contextlib.suppress(OSError), open(path.with_name(name), "r+b") as file:
                    _lock(file, waits=False)
                    os.unlink(file.name)


def _lock(file: BinaryIO, *, waits: bool) -> None:
    """Locks a file for as long as it is open here; raises OSError if it is and nobody waits."""
    if sys.platform != "linux":
        fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    # Of the open file and not of the process, which would lose it with any other handle it closes.
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLKW if waits else fcntl.F_OFD_SETLK, lock)


def _fsync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
