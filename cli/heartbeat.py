"""A file whose age tells how long ago a process went through its main loop: what health checks of workers look at."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

VARIABLE = "STILLHOUSE_HEARTBEAT"
"""Environment variable that names the file; without it there is none."""

INTERVAL_S = 5.0


class Heartbeat:
    """`beat` may be called as often as one likes."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get(VARIABLE)
        self._path = Path(name) if name else None
        self._next_s = 0.0

    def beat(self) -> None:
        if self._path is None or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + INTERVAL_S
        with suppress(OSError):  # a full disk is no reason to end a process; if it lasts, the check says so
            self._path.touch()


class BeatingStop:
    """A wish to end whose every question is a beat."""

    def __init__(self, stop: threading.Event, heartbeat: Heartbeat) -> None:
        self._stop, self._heartbeat = stop, heartbeat

    def is_set(self) -> bool:
        self._heartbeat.beat()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._stop.wait(timeout)
