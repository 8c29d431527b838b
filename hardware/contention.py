"""Whether something else took the cores or the machine around them while a round was timed, or the GPU just before."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardware.cores import available_cores, with_siblings
from hardware.nvml import Gpu

LEAST_BUSY = 0.9
"""Least share of a round during which its thread must have been running."""

MOST_WAITING = 0.1
"""Largest share of a round that its threads together may have waited for a core."""

MOST_OTHERS = 0.1
"""Largest share that other work may have had of the machine's cores, from all of which it takes caches, memory and
clock, or of those that the process ran on and their siblings: what looks like a whole core may be half of one. Of a
GPU, largest share of the time that it may have had.
"""

FORGOTTEN_S = 2.0
"""How long a GPU is waited for: what it tells is of the last second at most, in which a round before may have ended."""

LOOK_S = 0.25

_MACHINE = Path("/proc/stat")
_IDLE = frozenset({3, 4})
_COUNTED = 8
"""Of the machine's times: user, nice, system, idle, waiting for disks, interrupts (2), stolen by the host. What follows
is counted among the first two.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """How much of a round's wall time its process had the cores.

    `busy` is the calling thread's CPU time / wall time. That thread takes part in all that the process computes, so it
    should be near 1 whatever the number of threads; the CPU time of all threads says nothing for more than one thread,
    because helpers rest in serial parts. None where the calling thread may sleep.
    `waiting` is the time that all threads together were ready to run and had no
    core / wall time: it sees a helper that was held up while the calling thread spins at the barrier. None where the
    system does not tell it.
    `others` is the CPU time of everything else, what the machine's host takes away included / wall time of the cores:
    of all of the machine's or of those that the process may run on and their siblings, whichever is more. Of a GPU it
    is the share of the time that others had just before. None where nobody asked, or the system does not tell it.
    """

    busy: float | None
    waiting: float | None
    others: float | None = None

    @property
    def undisturbed(self) -> float:
        """Share of the wall time, above 0, in which all that the process computes had its cores."""
        return max(min(1.0 if self.busy is None else self.busy, 1 - (self.waiting or 0.0)), 0.01)

    @property
    def shared(self) -> bool:
        """Whether other work took the process's own cores."""
        rested = self.busy is not None and self.busy < LEAST_BUSY
        return rested or (self.waiting is not None and self.waiting > MOST_WAITING)

    @property
    def crowded(self) -> bool:
        """Whether other work was busy beside it."""
        return self.others is not None and self.others > MOST_OTHERS

    @property
    def contended(self) -> bool:
        return self.shared or self.crowded


class OccupancyMeter:
    """Measures from its construction to `read()`, in the thread that calls the model.

    Args:
        caller_computes: whether that thread takes part in all that is computed; else it may sleep meanwhile.
        machine: whether to ask what else the machine does; its clock ticks are as coarse as 10 ms.
    """

    def __init__(self, *, caller_computes: bool = True, machine: bool = False) -> None:
        self._caller_computes = caller_computes
        self._groups: tuple[Sequence[str], ...] = (("cpu",), _own()) if machine else ()
        self._cores_s, self._used_s = _cores_s(), time.process_time()
        self._waited_ns = _waited_ns()
        self._running_s = time.thread_time()
        self._wall_s = time.perf_counter()

    def read(self) -> Occupancy:
        wall_s = max(time.perf_counter() - self._wall_s, 1e-9)
        busy = (time.thread_time() - self._running_s) / wall_s if self._caller_computes else None
        return Occupancy(busy=busy, waiting=self._waiting(wall_s), others=self._others(wall_s))

    def _waiting(self, wall_s: float) -> float | None:
        waited_ns = _waited_ns()
        if waited_ns is None or self._waited_ns is None:
            return None
        waited = sum(total - self._waited_ns.get(thread, 0) for thread, total in waited_ns.items())
        return waited / 1e9 / wall_s

    def _others(self, wall_s: float) -> float | None:
        now_s, used_s = _cores_s(), time.process_time() - self._used_s
        shares = []
        for names in self._groups:
            if all(name in now_s and name in self._cores_s for name in names):
                busy_s = sum(now_s[name] - self._cores_s[name] for name in names)
                cores = (os.cpu_count() or 1) if names == ("cpu",) else len(names)
                shares.append(max(busy_s - used_s, 0.0) / wall_s / cores)
        return max(shares, default=None)


def others_on(gpu: Gpu, pause: Callable[[float], object] = time.sleep) -> float | None:
    """Share of the time that other work takes on a GPU that this process has not used yet; None where it is not told.

    Processes are not asked for: a container sees others' numbers of them, and one that only holds memory takes no time.
    """
    least = gpu.used()
    for _ in range(int(FORGOTTEN_S / LOOK_S)):
        if least is None or least <= MOST_OTHERS:
            break
        pause(LOOK_S)
        now = gpu.used()
        least = least if now is None else min(least, now)
    return least


def _waited_ns() -> dict[str, int] | None:
    """Per thread of this process, the time spent ready without a core; Linux's scheduler statistics."""
    if not Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").exists():
        return None
    waited = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            waited[task.name] = int((task / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # the thread has just ended
            continue
    return waited


def _own() -> tuple[str, ...]:
    """The cores that this process may run on, and those that are the same circuits, as the system's statistics call
    them.
    """
    return tuple(f"cpu{core}" for core in with_siblings(available_cores()))


def _cores_s() -> dict[str, float]:
    """CPU time since the machine's start of each of its cores, and of all as `cpu`; empty where it is not told."""
    found = {}
    try:
        for line in _MACHINE.read_text().splitlines():
            name, *fields = line.split()
            if name.startswith("cpu"):
                ticks = [int(text) for text in fields[:_COUNTED]]
                busy = sum(each for index, each in enumerate(ticks) if index not in _IDLE)
                found[name] = busy / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return {}
    return found
