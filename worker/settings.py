"""How a worker is set up. Imports nothing heavy: the command line reads it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from protocol.jobs import WORKER_KINDS, JobKind
from worker.errors import WorkerSetupError

LONGEST_NAME = 200
"""What the protocol takes."""

CACHE_BYTES = 4 * 10**9
"""Of teachers' outputs, unless somebody says otherwise."""


def default_name() -> str:
    """Tells this worker from every other one alive."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`url` is the service's address; `threads` are those of training, 0 for every core. `cache_bytes` is what the
    outputs of teachers may take that are kept for the next distillation, 0 to keep none.

    Raises:
        WorkerSetupError: nothing to do, a negative number, or a name that is empty or too long.
    """

    url: str
    home: Path
    name: str = field(default_factory=default_name)
    kinds: tuple[JobKind, ...] = WORKER_KINDS
    threads: int = 0
    cache_bytes: int = CACHE_BYTES

    def __post_init__(self) -> None:
        if not self.kinds:
            raise WorkerSetupError("a worker needs at least one kind of job")
        if not 1 <= len(self.name) <= LONGEST_NAME:
            raise WorkerSetupError(
                f"a worker's name has 1 to {LONGEST_NAME} characters, got {len(self.name)}: {self.name[:40]!r}"
            )
        if self.threads < 0:
            raise WorkerSetupError(f"threads must be 0 (every core) or more, got {self.threads}")
        if self.cache_bytes < 0:
            raise WorkerSetupError(f"the cache's bytes must be 0 (none) or more, got {self.cache_bytes}")
