"""A distillation in this process, as people see and stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli.display import say
from cli.interrupts import IMPATIENT_S

REDRAW_S = 0.2


class Stop:
    """The wish that a training stops at its next step; a second signal, later on, ends it at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_s: float | None = None

    def ask(self) -> None:
        """To be called by a signal's handler. Raises: KeyboardInterrupt: the second time."""
        now_s = self._clock()
        if self._asked_s is None:
            self._asked_s = now_s
        elif now_s > self._asked_s + IMPATIENT_S:
            raise KeyboardInterrupt

    def __call__(self) -> bool:
        return self._asked_s is not None


class Watch:
    """An observer (see `distillation.observer`): a bar on a terminal, a line for each event everywhere else.

    `should_stop` is asked between any two steps.
    """

    def __init__(self, console: Console, should_stop: Callable[[], bool], *, metric: str) -> None:
        self._console, self.should_stop, self._metric = console, should_stop, metric
        self._stage, self._steps, self._value, self._drawn_s = "", 0, "", 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[more]}"),
            )
            # Drawn when there is something new only: no thread of its own, that would compute beside the training.
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=False)

    def stage(self, name: str) -> None:
        self._stage, self._value = name, ""
        if self._bar is None:
            say(self._console, name)
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None, more="")
        self._bar.refresh()

    def step(self, step: int, steps: int, loss: float) -> None:
        self._steps = steps
        now_s = time.monotonic()
        if self._bar is not None and self._task is not None and (now_s > self._drawn_s + REDRAW_S or step == steps):
            self._drawn_s = now_s
            more = f"loss {loss:.3f}{self._value}"
            self._bar.update(self._task, completed=step, total=steps, more=more, refresh=True)

    def evaluated(self, step: int, value: float) -> None:
        self._value = f"  {self._metric} {value:.3f}"
        if self._bar is None:
            say(self._console, f"{self._stage}  step {step}/{self._steps}{self._value} (selection split)")

    def checkpointed(self, folder: Path) -> None:
        """Found again by the next attempt where it is."""

    def __enter__(self) -> Watch:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
