"""Whether something else took the cores while a round was timed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

LEAST_BUSY = 0.9
"""Least share of a round during which its thread must have been running."""

MOST_WAITING = 0.1
"""Largest share of a round that its threads together may have waited for a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """How much of a round's wall time its process had the cores.

    `busy` is the calling thread's CPU time / wall time. That thread takes part in all that the process computes, so it
    should be near 1 whatever the number of threads; the CPU time of all threads says nothing for more than one thread,
    because helpers rest in serial parts. None where the calling thread may sleep.
    `waiting` is the time that all threads together were ready to run and had no
    core / wall time: it sees a helper that was held up while the calling thread spins at the barrier. None where the
    system does not tell it.
    """

    busy: float | None
    waiting: float | None

    @property
    def undisturbed(self) -> float:
        """Share of the wall time, above 0, in which all that the process computes had its cores."""
        return max(min(1.0 if self.busy is None else self.busy, 1 - (self.waiting or 0.0)), 0.01)

    @property
    def contended(self) -> bool:
        rested = self.busy is not None and self.busy < LEAST_BUSY
        return rested or (self.waiting is not None and self.waiting > MOST_WAITING)


class OccupancyMeter:
    """Measures from its construction to `read()`, in the thread that calls the model.

    Args:
        caller_computes: whether that thread takes part in all that is computed; else it may sleep meanwhile.
    """

    def __init__(self, *, caller_computes: bool = True) -> None:
        self._caller_computes = caller_computes
        self._waited_ns = _waited_ns()
        self._running_s = time.thread_time()
        self._wall_s = time.perf_counter()

    def read(self) -> Occupancy:
        wall_s = max(time.perf_counter() - self._wall_s, 1e-9)
        busy = (time.thread_time() - self._running_s) / wall_s if self._caller_computes else None
        waited_ns = _waited_ns()
        if waited_ns is None or self._waited_ns is None:
            return Occupancy(busy=busy, waiting=None)
        waited = sum(total - self._waited_ns.get(thread, 0) for thread, total in waited_ns.items())
        return Occupancy(busy=busy, waiting=waited / 1e9 / wall_s)


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
