"""Which cores a measurement may use, and pinning to them."""

from __future__ import annotations

import os
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> tuple[int, ...]:
    """Numbers of the logical cores that this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def core_quota(cgroup: Path = CGROUP) -> float | None:
    """How many cores' time a container's limit grants, None without a limit. Beyond it the kernel throttles."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def pick(threads: int, available: tuple[int, ...], topology: Path = TOPOLOGY) -> tuple[int, ...]:
    """The cores for so many threads: different physical cores before siblings, the highest numbers first.

    The highest, because interrupts and other people's processes gather on core 0.
    """
    first: list[int] = []
    siblings: list[int] = []
    taken: set[str] = set()
    for core in sorted(available, reverse=True):
        physical = _siblings(core, topology)
        (siblings if physical in taken else first).append(core)
        taken.add(physical)
    return tuple((first + siblings)[:threads])


def with_siblings(cores: tuple[int, ...], topology: Path = TOPOLOGY) -> tuple[int, ...]:
    """These logical cores, and all others of the same physical ones, ascending."""
    found = set(cores)
    for core in cores:
        for part in _siblings(core, topology).split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def pin(threads: int) -> None:
    """Keep this process on as many cores as it has threads, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, pick(threads, available_cores()))


def _siblings(core: int, topology: Path) -> str:
    try:
        return (topology / f"cpu{core}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(core)
