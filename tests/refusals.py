"""What a test expects to be refused."""

import contextlib
import os
import re
import resource

import pytest


def refusal(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


@contextlib.contextmanager
def no_more_open_files():
    """Within it, this process can open nothing: what is whole cannot be read for now."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def fail_to_read(descriptor: int) -> None:
    """Has reading by a descriptor fail as of a broken disk, by what the system says itself (Linux).

    The first bytes of a process's memory are nobody's.
    """
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    os.dup2(memory, descriptor)
    os.close(memory)


@contextlib.contextmanager
def limited_files(*, max_bytes: int):
    """Within it, this process writes no file beyond so many bytes, as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
