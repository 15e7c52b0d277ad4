"""How many cores and how much memory this process may use."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
GIB = 1 << 30


def count_cores(cgroup: Path = _CGROUP, own_groups: Path = _OWN_GROUPS) -> int:
    """Returns how many cores this process may use: those it is bound to, or a container's quota.

    Arguments as `find_memory_bytes`.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        num_cores = len(os.sched_getaffinity(0))
    else:
        num_cores = os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        for quota_us, period_us in _iter_limits(cgroup, own_groups, "cpu", names):
            if quota_us > 0:
                num_cores = min(num_cores, math.ceil(quota_us / period_us))
    return num_cores


def find_memory_bytes(cgroup: Path = _CGROUP, own_groups: Path = _OWN_GROUPS) -> int:
    """Returns how much memory this process may use: the machine's, or a container's or job's limit.

    Args:
        cgroup: Where Linux tells the limits of control groups, of version 2 or 1.
        own_groups: Where it tells which of them this process is in.
    """
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory.limit_in_bytes"):
        for (limit_bytes,) in _iter_limits(cgroup, own_groups, "memory", (name,)):
            memory_bytes = min(memory_bytes, limit_bytes)
    return memory_bytes


def check_fits(taken_bytes: int, what: str, flags: dict) -> None:
    """Checks that something fits in memory at all.

    Args:
        taken_bytes: What it takes at least.
        what: What takes it, for the message.
        flags: Those to lower, with their values.

    Raises:
        MemoryError: If it does not.
    """
    memory_bytes = find_memory_bytes()
    if taken_bytes > memory_bytes:
        listed = ", ".join(f"--{name}={value}" for name, value in flags.items())
        raise MemoryError(
            f"{what} take {taken_bytes / GIB:,.0f} GiB, of {memory_bytes / GIB:,.0f} that there "
            f"are: {listed}"
        )


def _iter_limits(
    cgroup: Path, own_groups: Path, controller: str, names: tuple[str, ...]
) -> Iterator[list[int]]:
    """Yields the numbers in files of the process's control group and of those above it: all hold.

    A container sees its own group as the topmost. The job of a cluster's scheduler does not.
    """
    groups = {PurePosixPath()}
    with contextlib.suppress(OSError, ValueError):  # not Linux; a name that is no text
        for line in own_groups.read_text().splitlines():
            group = PurePosixPath(line.split(":", 2)[2].lstrip("/"))
            groups |= {group, *group.parents}
    # Version 1 has a folder for each controller.
    for folder in (cgroup / x / group for x in ("", controller) for group in groups):
        with contextlib.suppress(OSError, ValueError):  # no such version; the word "max"
            texts = [(folder / name).read_text() for name in names]
            yield [int(x) for text in texts for x in text.split()]
