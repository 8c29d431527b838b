"""Where a run shows itself: a page on a terminal, lines everywhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live

from cli.progress import Events, page
from protocol.views import StudyView, TrialView

KEPT_NEWS = 3
WIDE = 200
"""Columns where there is no terminal: tables in a log are not folded."""


def make_console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDE)


def say(console: Console, text: str) -> None:
    """Print text as it is: paths and commands are neither folded nor taken for markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Display:
    """A context: while it is open, `show` draws the study. `tell` says what happened to our own processes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._events = Events()
        self._news: deque[str] = deque(maxlen=KEPT_NEWS)
        # Drawn when there is something new only: a refreshing thread would compute while latencies are taken.
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def show(self, study: StudyView, trials: Sequence[TrialView]) -> None:
        if self._live is not None:
            self._live.update(page(study, trials, self._news), refresh=True)
            return
        for line in self._events.look(study, trials):
            say(self._console, line)

    def tell(self, line: str) -> None:
        if self._live is not None and self._live.is_started:
            self._news.append(line)
        else:
            say(self._console, line)

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
