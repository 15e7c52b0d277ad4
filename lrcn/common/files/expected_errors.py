"""Which errors users can do something about, and what."""

import errno
import os
import re
from collections.abc import Container

# Those of a disk that fails, or that the network or a program like sshfs no longer gives.
DISK_FAILURES = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)
# What the system's own errors leave unsaid.
_NO_PERMISSION = "Check the permissions there, or name another place."
_NO_SPACE = "Make room there, and run the same command again."
_REMEDIES = {
    **dict.fromkeys(DISK_FAILURES, "Check the disk, or the way to it."),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: _NO_PERMISSION,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f`), or name another place.",
    errno.ENOLCK: "This disk locks no files. Name a folder on another.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    errno.ENAMETOOLONG: "Shorten the path, or name another.",
    errno.ENOENT: "Check that it exists, or name another.",
    errno.EEXIST: "Expected a folder or nothing there. Name another.",
    errno.ENOTDIR: "Expected a folder where there is a file. Correct the path, or name another.",
    errno.EISDIR: "Expected a file where there is a folder. Correct the path, or name another.",
    errno.ELOOP: "Correct the link that leads to itself, or name another.",
}
# Not for TensorFlow's errors, which call much else an invalid argument, and have flags that take
# less memory.
_OWN_REMEDIES = _REMEDIES | {
    errno.ENOMEM: "Close other programs, or use a machine with more memory.",
    errno.EINVAL: "Its disk may take no such name, as those of Windows take none with one of "
    ': * ? " < > |. Name another, or a folder on another disk.',
}
# Texts of errors that have no number, where limits are too low for a program to start.
_LIMITS = ("can't start new thread", "failed to map segment from shared object")
# What Python says where no temporary folder takes a file; its number is that of a missing file.
_NO_TEMPORARY_FOLDER = "No usable temporary directory found"

# Flags by which a program takes less memory. Each program has some of them, or none.
_MEMORY_FLAGS = (
    "batch_size",
    "num_decode_threads",
    "image_size",
    "seq_len",
    "fc_units",
    "rnn_units",
    "rnn_layers",
    "windows",
)

# Where in a graph an error was.
_TENSORFLOW_MARKS = re.compile(r"\{\{.*?\}\} ?| ?\[Op:.*")


def describe_expected(error: Exception, *, flag_names: Container[str]) -> str | None:
    """Returns the message of an error that users can do something about, None for others.

    Args:
        error: What ends the program.
        flag_names: The program's flags, since a remedy names no other.
    """
    reason = next(iter(_TENSORFLOW_MARKS.sub("", str(error)).strip().splitlines()), "no details")
    if type(error).__module__.startswith("tensorflow."):
        # It has its own classes for errors of the system: a full disk is "exhausted", as memory is.
        for number, remedy in _REMEDIES.items():
            if os.strerror(number).lower() in reason.lower():
                return f"{reason}. {remedy}"
    # TensorFlow's class by its name, since programs that do without TensorFlow come here too.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        lowered = [f"--{name}" for name in _MEMORY_FLAGS if name in flag_names]
        # Of a reason that says which flags ask for so much, no others.
        lowered = [flag for flag in lowered if f"{flag}=" in reason] or lowered
        remedy = "Close other programs"
        if lowered:
            one_of = "one of " if len(lowered) > 1 else ""
            remedy = f"Lower {one_of}{', '.join(lowered)}"
        return f"out of memory ({reason}). {remedy}, or use a machine with more of it."
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        return f"{error}. Expected a stdout of UTF-8, as names are: set PYTHONIOENCODING=utf-8."
    if any(reason in str(error) for reason in _LIMITS):
        return f"{error}. Raise the limits of memory (`ulimit -v`) and of threads (`ulimit -u`)."
    if _NO_TEMPORARY_FOLDER in str(error):
        return f"{error}. Make room in one, or name another that files can be made in: TMPDIR=..."
    if isinstance(error, (ValueError, OSError, RuntimeError)):
        remedy = _OWN_REMEDIES.get(getattr(error, "errno", None))
        return str(error) if remedy is None else f"{error}. {remedy}"
    return None
