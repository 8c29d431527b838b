"""Time that a computation may take."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds, from any start."""


class PastDeadlineError(Exception):
    """The time is over."""


class Deadline:
    """Counts from its construction."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._begin = clock()

    @property
    def passed_s(self) -> float:
        return self._clock() - self._begin

    @property
    def left_s(self) -> float:
        return max(0.0, self.seconds - self.passed_s)

    @property
    def is_over(self) -> bool:
        return self.passed_s >= self.seconds

    def check(self) -> None:
        """Raises PastDeadlineError once the time is over."""
        if self.is_over:
            raise PastDeadlineError(self.reason)

    @property
    def reason(self) -> str:
        return f"not ready within {self.seconds:g} s"
