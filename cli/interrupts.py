"""Ctrl-C, once or many times."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
IMPATIENT_S = 1.0
"""Signals that come so soon after the first one mean nothing new."""


class Interrupts:
    """The first signal raises KeyboardInterrupt. Those that come while all is being stopped never do.

    Else one of them would break off the very stopping.
    """

    def __init__(self) -> None:
        self._raised_s: float | None = None
        self._hurry: Callable[[], None] | None = None
        for number in SIGNALS:
            signal.signal(number, self._signalled)

    def stopping(self, hurry: Callable[[], None]) -> None:
        """From now on a signal only calls this."""
        self._hurry = hurry

    def ignore(self) -> None:
        """The process is about to end: an interpreter that is being closed has no handlers, and would die of one."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now_s = time.monotonic()
        if self._hurry is not None:
            self._hurry()
        elif self._raised_s is None or now_s > self._raised_s + IMPATIENT_S:
            # The second time because the first one may have been lost, in a destructor for example.
            self._raised_s = now_s
            raise KeyboardInterrupt
