"""The child's side of supervision."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

NEWS_VARIABLE = "STILLHOUSE_NEWS_FD"
"""Environment variable with the number of the file descriptor on which the supervisor listens for news."""

LONGEST_NEWS_BYTES = 500


def when_orphaned(action: Callable[[], None]) -> None:
    """Call `action`, in a thread, when stdin ends: the supervisor holds its other end and is gone, however it ended."""

    def watch() -> None:
        while True:
            try:
                if not os.read(0, 1024):
                    break
            except OSError:
                break
        action()

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def tell_supervisor(line: str) -> None:
    """Say something to whoever looks at the supervisor; nothing without one. Not through the log: its disk may be full.

    The line is one write of less than a pipe takes at once, so that lines of several processes do not mix.
    """
    with suppress(KeyError, ValueError, OSError):
        os.write(int(os.environ[NEWS_VARIABLE]), line.replace("\n", " ").encode()[:LONGEST_NEWS_BYTES] + b"\n")
