"""Child processes that are started again when they die, and never outlive the supervisor."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.errors import BadInputError, ChildError, ExitCode
from cli.supervised import NEWS_VARIABLE

log = logging.getLogger(__name__)

QUICK_S = 20.0
"""A child that lived longer than this was in order: its deaths are counted from one again."""

MOST_QUICK_DEATHS = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
LAST_GRACE_S = 8.0
TICK_S = 0.02
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process to keep alive: its stdin is a pipe that ends with the supervisor, its output goes to `log`.

    `environment` is added to ours: the place for secrets, which everybody could read on a command line.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes]
    started_s: float
    quick_deaths: int = 0
    again_s: float | None = None
    """When a dead child is due again."""
    swept: bool = False


class Supervisor:
    """Keeps children alive. Each has a process group of its own, so that a Ctrl-C of the terminal reaches only us."""

    def __init__(
        self,
        *,
        on_event: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.monotonic,
        keep_open: tuple[int, ...] = (),
    ) -> None:
        """`on_event` also gets what the children tell; `keep_open` are descriptors that each holds while it lives."""
        self._on_event, self._clock, self._keep_open = on_event, clock, keep_open
        self._children: list[_Child] = []
        self._hurried = False
        self._pipe: tuple[int, ...] = ()
        """Where the children tell something: its end to read from, and theirs."""

    def start(self, spec: ChildSpec) -> None:
        """Raises: ChildError: it cannot be started. BadInputError: its log cannot be written."""
        if not self._pipe:
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)  # nothing may have been told, nobody may be listening
        self._children.append(_Child(spec, self._launch(spec), self._clock()))

    def check(self) -> None:
        """Pass on what the children tell, and start again what has died. To be called often; never waits.

        Raises:
            BadInputError: a child says that what it was asked to do cannot be done (exit code 2).
            ChildError: a child died several times soon after its start, or cannot be started again.
        """
        self._pass_on()
        for child in self._children:
            if child.again_s is not None:
                if self._clock() >= child.again_s:
                    child.process, child.started_s = self._launch(child.spec), self._clock()
                    child.again_s, child.swept = None, False
            elif child.process.poll() is not None:
                self._died(child)

    def pid(self, name: str) -> int | None:
        """The process id of a child that runs."""
        for child in self._children:
            if child.spec.name == name and child.process.poll() is None:
                return child.process.pid
        return None

    def hurry(self) -> None:
        """Let a `stop` kill what is left at once; may be called by a signal's handler."""
        self._hurried = True

    def stop(self, *, grace_s: float) -> None:
        """SIGTERM to all but the first child, which the others depend on; then to that; SIGKILL after `grace_s`."""
        try:
            self._end(self._children[1:], grace_s)
            self._end(self._children[:1], LAST_GRACE_S)
        finally:
            for child in self._children:
                self._sweep(child)
            self._children.clear()
            for end in self._pipe:
                os.close(end)
            self._pipe = ()

    def _launch(self, spec: ChildSpec) -> subprocess.Popen[bytes]:
        try:
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            log_file = spec.log.open("ab")
        except OSError as error:
            raise BadInputError(
                f"{spec.name} cannot be started: its log {spec.log} cannot be written: {error}"
            ) from error
        news = self._pipe[-1]
        try:
            with log_file:
                return subprocess.Popen(  # noqa: S603 (our own commands)
                    list(spec.command),
                    stdin=subprocess.PIPE,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    pass_fds=(*self._keep_open, news),
                    env=os.environ | {NEWS_VARIABLE: str(news)} | dict(spec.environment),
                )
        except OSError as error:
            raise ChildError(f"{spec.name} cannot be started: {error}") from error

    def _pass_on(self) -> None:
        with suppress(BlockingIOError):
            for line in os.read(self._pipe[0], 65_536).decode(errors="replace").splitlines() if self._pipe else ():
                self._on_event(line)

    def _died(self, child: _Child) -> None:
        code = child.process.returncode
        self._sweep(child)
        if code == ExitCode.BAD_INPUT:
            raise BadInputError(f"{child.spec.name} refuses to start:\n{tail(child.spec.log)}")
        lived_s = self._clock() - child.started_s
        child.quick_deaths = child.quick_deaths + 1 if lived_s < QUICK_S else 1
        if child.quick_deaths >= MOST_QUICK_DEATHS:
            raise ChildError(
                f"{child.spec.name} died {child.quick_deaths} times soon after its start, the last time with"
                f" {_ending(code)}. The end of {child.spec.log}:\n{tail(child.spec.log)}"
            )
        pause_s = min(FIRST_PAUSE_S * 2 ** (child.quick_deaths - 1), LONGEST_PAUSE_S)
        child.again_s = self._clock() + pause_s
        self._on_event(f"{child.spec.name} ended with {_ending(code)}; it is started again in {pause_s:g} s")

    def _end(self, children: Sequence[_Child], grace_s: float) -> None:
        running = [child for child in children if child.process.poll() is None]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + grace_s
        while running and not self._hurried and time.monotonic() < deadline:
            time.sleep(TICK_S)
            running = [child for child in running if child.process.poll() is None]
        for child in running:
            self._on_event(f"{child.spec.name} {'is' if self._hurried else 'does not end; it is'} killed")

    def _sweep(self, child: _Child) -> None:
        """End what is left of the child's process group; once, for then its number may be another's."""
        if child.swept:
            return
        child.swept = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:])


def _ending(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
