"""The wish that the worker ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType

GRACE_S = 20.0
"""How long a job that was asked to stop may take; one that cannot stop half-way (a measurement) is given up then."""


class Shutdown:
    """Set once, by a signal or by the end of a supervisor; wakes the loop, which waits here, or looks here often.

    A `SimpleQueue`, because its `put` is safe inside a signal handler that interrupts its own `get`; an `Event` is not.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        """`beat` is called whenever the loop comes by: it tells others that the worker is not stuck."""
        self.beat = beat
        self.asked = False
        self.grace_s = GRACE_S
        self._bell: SimpleQueue[None] = SimpleQueue()

    def ask(self, *, grace_s: float = GRACE_S) -> None:
        """Let the job that runs have so long."""
        self.grace_s = grace_s
        self.asked = True
        self.ring()

    def ring(self) -> None:
        """End the current or the next `wait`."""
        self._bell.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until the bell rings, at most so long."""
        self.beat()
        try:
            self._bell.get(timeout=max(0.0, seconds))
        except Empty:
            return

    def pause(self, seconds: float) -> None:
        """Wait, unless the worker shall end."""
        if not self.asked:
            self.wait(seconds)

    def on_signals(self) -> None:
        """SIGTERM and SIGINT ask; the second one ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.asked:
            os._exit(128 + number)
        self.ask()
