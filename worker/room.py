"""A full disk: no fault of the job's, and mended by people."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from client import ProblemError
from client.errors import ClientError
from protocol.problem import STORAGE_FULL
from worker.lack import Lack

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = tuple(os.strerror(number) for number in _FULL)
"""What libraries that wrap the system's error say, and a measuring process."""

_NONE_LEFT_BYTES = 1 << 20


def lack_of_room(error: BaseException, folder: Path) -> Lack | None:
    """What is full, if that is where the error comes from; `folder` is where a worker writes."""
    for cause in _causes(error):
        if isinstance(cause, ProblemError) and cause.code == STORAGE_FULL:
            return _no_room(f"the service has no room: {cause.problem.detail}")
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return _full(cause.filename or folder)
        if not isinstance(cause, ClientError) and any(words in str(cause) for words in _WORDS):
            return _full(folder)
    return None


def none_left(folder: Path) -> Lack | None:
    """The same, for an error that does not say where it comes from, where there is next to no room."""
    try:
        left_bytes = shutil.disk_usage(folder).free
    except OSError:
        return None
    return _full(folder) if left_bytes < _NONE_LEFT_BYTES else None


def _full(place: Path | str) -> Lack:
    return _no_room(f"the disk of {place} is full")


def _no_room(what: str) -> Lack:
    return Lack(
        what=what,
        until="make room, the study goes on by itself",
        over="there is room again; the study goes on",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
