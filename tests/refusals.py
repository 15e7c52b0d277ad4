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
