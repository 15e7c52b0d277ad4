"""Why a source is not read: for what it is, for its disk, or for what this machine lacks."""

import errno
import mmap
import os
import stat
from pathlib import Path

from lrcn.common.files.alike_names import find_alike_path
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.expected_errors import DISK_FAILURES

_NO_MORE_FILES = {errno.EMFILE, errno.ENFILE}
_REFUSALS = {errno.EACCES, errno.EPERM}
_LOSSES = {errno.ENOENT, errno.ENOTDIR}
# More than a decoder takes for pictures of 8K.
_ENOUGH_BYTES = 1 << 30
_READ_BYTES = 1 << 20


class UnreadableClipError(ValueError):
    """A clip that cannot be decoded as a whole; the message is the reason to record for it.

    It is one line of UTF-8, also where the name of a file is not.

    Attributes:
        may_be_whole: Whether the clip is just not to be had now, as where its disk fails.
    """

    def __init__(self, message: str, *, may_be_whole: bool = False):
        super().__init__(escape_control(message))
        self.may_be_whole = may_be_whole


def check_is_file(path: str | os.PathLike, mode: int) -> None:
    """Checks that opening what has this `st_mode` keeps nobody waiting, as a named pipe does.

    Raises:
        UnreadableClipError: If it is a pipe, device or socket. Opening a folder fails by itself.
    """
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnreadableClipError(
            f"{path}: expected a file, received a pipe, device or socket. Remove it, or write what "
            "comes out of it to a file."
        )


def raise_if_machine_lacks(error: Exception) -> None:
    """Raises the error itself where the machine lacks files or memory: no fault of the clip's.

    Any clip would seem unreadable then, and would be left out where such clips are skipped.
    """
    number = getattr(error, "errno", None)
    # FFmpeg also says that memory is short where a damaged file states sizes that cannot be.
    is_short = isinstance(error, MemoryError) and not has_memory(_ENOUGH_BYTES)
    is_short |= isinstance(error, OSError) and number == errno.ENOMEM
    if is_short or number in _NO_MORE_FILES:
        raise error


def choose_remedy(error: Exception, of_file: str) -> str:
    """Returns what to do: `of_file`, unless the file may be whole and just cannot be read."""
    number = getattr(error, "errno", None)
    if number in DISK_FAILURES:
        return "Its disk, or the way to it, fails, and it may be whole. Run the same command again."
    if number in _REFUSALS:
        return "It may be whole: check its permissions, and run the same command again."
    if number in _LOSSES:  # when the clip was found it was there
        return "The file went away meanwhile. Bring it back, or remove the clip."
    return of_file


def is_of_system(error: Exception) -> bool:
    """Whether the system does not give the file, which says nothing of what is in it."""
    return getattr(error, "errno", None) in DISK_FAILURES | _REFUSALS | _LOSSES


def find_read_error(path: str | os.PathLike) -> OSError | None:
    """Reads a file as far as the system gives it, and returns the error where that is not all."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass
    except OSError as error:
        return error
    return None


def has_memory(num_bytes: int) -> bool:
    """Whether this process may take so many bytes more; they are not written to."""
    try:
        mmap.mmap(-1, num_bytes).close()
    except OSError:
        return False
    return True


def make_missing_error(
    path: str | Path, error: Exception, *, expected: str = "a folder of images or a video file"
) -> UnreadableClipError:
    """Makes the error of a source that is not there, or cannot be looked at."""
    raise_if_machine_lacks(error)
    received = getattr(error, "strerror", None) or error
    remedy = "Check the path and its permissions."
    if getattr(error, "errno", None) not in _LOSSES:
        remedy = choose_remedy(error, remedy)
    if isinstance(error, FileNotFoundError):
        if link := _find_link_to_nothing(Path(path)):
            received = f"a link to nothing, {link} -> {os.readlink(link)}"
            remedy = "Mend the link, or bring back what it leads to."
        elif alike := find_alike_path(str(path)):
            received = (
                f"none of this name, but one that looks like it, {alike!a} and not {str(path)!a}"
            )
            remedy = "Write the name as it is on disk."
    return UnreadableClipError(f"{path}: expected {expected}, received: {received}. {remedy}")


def _find_link_to_nothing(path: Path) -> Path | None:
    """Finds the link, of the path or a folder above it, that `ls` shows and that leads nowhere."""
    places = (path, *path.parents)
    return next((x for x in places if os.path.islink(x) and not os.path.exists(x)), None)
