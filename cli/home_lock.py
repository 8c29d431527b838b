"""One `stillhouse run` per home."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import BadInputError
from cli.home import open_home, usable

LOCK = "run.lock"
DYING_S = 30.0
"""How long the processes of a run that was killed may take to notice and to end."""


@contextmanager
def home_lock(home: Path, *, pause: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Hold the home; yields the lock's file descriptor.

    The children inherit it, so the home stays held until the last of them has ended, also when their supervisor was
    killed; a new run waits for those.

    Raises:
        BadInputError: another run is alive in this home, or the home cannot be written.
    """
    open_home(home)
    with usable(home):
        handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, home, pause)
        with usable(home):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, home: Path, pause: Callable[[float], None]) -> None:
    waited_s = 0.0
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
            if _alive(owner) or waited_s >= DYING_S:
                raise BadInputError(
                    f"another `stillhouse run` (process {owner or 'unknown'}) is using {home}; wait for it, stop it,"
                    " or name another home with --home"
                ) from None
            pause(0.1)
            waited_s += 0.1
        else:
            return


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
