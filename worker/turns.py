"""Long computations that let measurements in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from hardware.lock import computing
from hardware.values import Device

TURN_S = 0.5
"""How long a measurement may have to wait for a computation."""

Guard = Callable[[Device], AbstractContextManager[None]]


class Turns:
    """A share of the device that is handed back for a moment every `TURN_S`."""

    def __init__(self, device: Device, guard: Guard, clock: Callable[[], float]) -> None:
        self._device, self._guard, self._clock = device, guard, clock
        self._held = ExitStack()
        self._since_s = 0.0

    def take(self) -> None:
        self._held.enter_context(self._guard(self._device))
        self._since_s = self._clock()

    def end(self) -> None:
        self._held.close()

    def offer(self) -> None:
        """Where the computation may wait: lets a measurement in if the turn is over."""
        if self._clock() - self._since_s >= TURN_S:
            self.end()
            self.take()


@contextmanager
def computing_in_turns(
    device: Device = Device.CPU, *, guard: Guard = computing, clock: Callable[[], float] = time.monotonic
) -> Iterator[Turns]:
    """Share the device; the block calls `offer` often."""
    turns = Turns(device, guard, clock)
    turns.take()
    try:
        yield turns
    finally:
        turns.end()
