"""A full disk: no fault of the job's, and mended by people."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from client import ProblemError
from client.errors import ClientError
from protocol.problem import STORAGE_FULL

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = tuple(os.strerror(number) for number in _FULL)
"""What libraries that wrap the system's error say, and a measuring process."""

_NONE_LEFT_BYTES = 1 << 20


def lack_of_room(error: BaseException, folder: Path) -> str | None:
    """What is full, if that is where the error comes from; `folder` is where a worker writes."""
    for cause in _causes(error):
        if isinstance(cause, ProblemError) and cause.code == STORAGE_FULL:
            return f"the service has no room: {cause.problem.detail}"
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return f"the disk of {cause.filename or folder} is full"
        if not isinstance(cause, ClientError) and any(words in str(cause) for words in _WORDS):
            return f"the disk of {folder} is full"
    return None


def none_left(folder: Path) -> str | None:
    """The same, for an error that does not say where it comes from, where there is next to no room."""
    try:
        left_bytes = shutil.disk_usage(folder).free
    except OSError:
        return None
    return f"the disk of {folder} is full" if left_bytes < _NONE_LEFT_BYTES else None


class Room:
    """Says once that room is lacking, waits longer from time to time, and says once that there is room again.

    `tell` reaches people; `pause` ends early when the worker shall end.
    """

    def __init__(self, tell: Callable[[str], None], pause: Callable[[float], None]) -> None:
        self._tell, self._pause = tell, pause
        self._pause_s = FIRST_PAUSE_S
        self._told: str | None = None

    def lacks(self, what: str, *, longest_s: float = LONGEST_PAUSE_S) -> None:
        """Say it, and wait before the next attempt."""
        self.says(what)
        pause_s = min(self._pause_s, longest_s)
        log.info("%s; next try in %.0f s", what, pause_s)
        self._pause(pause_s)
        self._pause_s = min(2 * pause_s, longest_s)

    def says(self, what: str) -> None:
        """Only the first lack is said, until there is room."""
        if self._told is None:
            self._told = what
            self._say(f"{what}; make room, the study goes on by itself")

    def suffices(self) -> None:
        """A job has ended."""
        if self._told is not None:
            self._say("there is room again; the study goes on")
        self._told, self._pause_s = None, FIRST_PAUSE_S

    def _say(self, line: str) -> None:
        log.warning("%s", line)
        self._tell(line)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
