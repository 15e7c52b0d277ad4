"""How many cores and how much memory this process may use."""

import contextlib
import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def count_cores(cgroup: Path = _CGROUP) -> int:
    """Returns how many cores this process may use: those it is bound to, or a container's quota.

    Args:
        cgroup: As `find_memory_bytes`.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        num_cores = len(os.sched_getaffinity(0))
    else:
        num_cores = os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):  # no such version; the word "max"
            quota_us, period_us = map(
                int, " ".join((cgroup / name).read_text() for name in names).split()
            )
            if quota_us > 0:
                num_cores = min(num_cores, math.ceil(quota_us / period_us))
    return num_cores


def find_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Returns how much memory this process may use: the machine's, or a container's limit.

    Args:
        cgroup: Where Linux tells the limits of control groups, of version 2 or 1.
    """
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such version; the word "max"
            memory_bytes = min(memory_bytes, int((cgroup / name).read_text()))
    return memory_bytes
