"""How a worker is set up. Imports nothing heavy: the command line reads it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.errors import SettingsFileError
from protocol.jobs import WORKER_KINDS, JobKind
from protocol.settings_file import Found, Kind, Setting, gathered, settings_file
from worker.errors import WorkerSetupError

LONGEST_NAME = 200
"""What the protocol takes."""

URL = "http://127.0.0.1:8787"
CACHE_BYTES = 4 * 10**9
"""Of teachers' outputs, unless somebody says otherwise."""


def default_name() -> str:
    """Tells this worker from every other one alive."""
    return f"{socket.gethostname()}-{os.getpid()}"


TABLE = "worker"
"""Of `stillhouse.toml`."""

SETTINGS = (
    Setting(name="url", meaning="the service's address"),
    Setting(name="home", kind=Kind.PATH, meaning="folder of what the worker keeps on its machine"),
    Setting(name="token", secret=True, meaning="what the service lets the worker in by"),
    Setting(name="name", meaning="tells this worker from every other one"),
    Setting(name="kinds", kind=Kind.WORDS, meaning="kinds of jobs to take"),
    Setting(name="threads", kind=Kind.WHOLE, meaning="of training; 0 for every core"),
    Setting(
        name="cache_gb",
        kind=Kind.NUMBER,
        meaning="gigabytes of teachers' outputs to keep for the next distillation; 0 for none",
    ),
)
"""What may stand in the environment and in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`url` is the service's address, `token` what it lets the worker in by; `threads` are those of training, 0 for
    every core. `cache_bytes` is what the outputs of teachers may take that are kept for the next distillation, 0 to
    keep none.

    Raises:
        WorkerSetupError: nothing to do, a negative number, or a name that is empty or too long.
    """

    url: str
    home: Path
    token: str = field(default="", repr=False)
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

    @classmethod
    def found(
        cls, environment: Mapping[str, str] = os.environ, *, config: Path | None = None, **given: Any
    ) -> dict[str, Found]:
        """Every setting and where it is from: what is given here, the environment, the file `config` (or the one that
        STILLHOUSE_CONFIG names, or `stillhouse.toml` in the home), the default.

        Raises:
            WorkerSetupError: a setting that nobody knows, or that is of another kind.
        """
        home = Path(given.get("home") or environment.get("STILLHOUSE_HOME") or ".stillhouse").absolute()
        defaults = {
            "url": URL,
            "home": home,
            "name": default_name(),
            "kinds": tuple(map(str, WORKER_KINDS)),
            "threads": 0,
        }
        try:
            return gathered(
                TABLE,
                SETTINGS,
                given=given,
                environment=environment,
                file=settings_file(config, environment, home),
                defaults=defaults | {"cache_gb": CACHE_BYTES / 1e9},
            )
        except SettingsFileError as error:
            raise WorkerSetupError(str(error)) from error

    @classmethod
    def of(cls, found: Mapping[str, Found]) -> WorkerSettings:
        """Raises: WorkerSetupError: as above, or an unknown kind of job."""
        values = {name: each.value for name, each in found.items()}
        known = [str(kind) for kind in WORKER_KINDS]
        for kind in values["kinds"]:
            if kind not in known:
                raise WorkerSetupError(f"unknown kind of job {kind!r}; known are {', '.join(known)}")
        values["kinds"] = tuple(JobKind(kind) for kind in values["kinds"])
        return cls(cache_bytes=round(1e9 * values.pop("cache_gb")), **values | {"token": values["token"] or ""})
