"""The child's side of supervision."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


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
