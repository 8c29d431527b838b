"""What a job may lack by no fault of its own: it is given back, and tried again by and by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """`what` is lacking; `until` says what mends it, and `over` what is said when a job has ended again."""

    what: str
    until: str
    over: str


class Backoff:
    """Says once that something is lacking, waits longer from time to time, and says once that it is over.

    `tell` reaches people; `pause` ends early when the worker shall end.
    """

    def __init__(self, tell: Callable[[str], None], pause: Callable[[float], None]) -> None:
        self._tell, self._pause = tell, pause
        self._pause_s = FIRST_PAUSE_S
        self._told: Lack | None = None

    def lacks(self, lack: Lack, *, longest_s: float = LONGEST_PAUSE_S) -> None:
        """Say it, and wait before the next attempt."""
        self.says(lack)
        pause_s = min(self._pause_s, longest_s)
        log.info("%s; next try in %.0f s", lack.what, pause_s)
        self._pause(pause_s)
        self._pause_s = min(2 * pause_s, longest_s)

    def says(self, lack: Lack) -> None:
        """Once, until it is over, or until something else would mend it."""
        if self._told is None or self._told.until != lack.until:
            self._told = lack
            self._say(f"{lack.what}; {lack.until}")

    def suffices(self) -> None:
        """A job has ended."""
        if self._told is not None:
            self._say(self._told.over)
        self._told, self._pause_s = None, FIRST_PAUSE_S

    def _say(self, line: str) -> None:
        log.warning("%s", line)
        self._tell(line)
