"""What happens, as JSON lines on stdout: for programs that follow a command which runs for long."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType

from protocol.views import StudyView, TrialView

Happened = Callable[[str, Mapping[str, object]], None]
"""Is told the name of an event, and what there is to say of it."""


def print_event(event: str, told: Mapping[str, object]) -> None:
    """One line: `{"event": ..., "at": ..., ...}`; nothing once whoever followed is gone, for the work goes on."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"event": event, "at": at, **told}, default=str)
    try:
        print(f"{line}\n", end="", flush=True)  # in one piece: threads tell, too
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unheard(event: str, told: Mapping[str, object]) -> None:
    """Where nobody follows."""
    del event, told


class StudyLines:
    """Stands in for `cli.display.Display`: a line for each change of the study, and of each of its trials."""

    def __init__(self, happened: Happened = print_event) -> None:
        self._happened = happened
        self._study: dict[str, object] = {}
        self._trials: dict[int, dict[str, object]] = {}

    def show(self, study: StudyView, trials: Sequence[TrialView]) -> None:
        told = study.model_dump(mode="json")
        if _lasting(told) != _lasting(self._study):
            self._happened("study", {"study": told})
        self._study = told
        for trial in trials:
            told = trial.model_dump(mode="json")
            if _lasting(told) != _lasting(self._trials.get(trial.number, {})):
                self._happened("trial", {"trial": told})
            self._trials[trial.number] = told

    def tell(self, line: str) -> None:
        self._happened("note", {"message": line})

    def __enter__(self) -> StudyLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to be drawn."""


def _lasting(view: Mapping[str, object]) -> dict[str, object]:
    """Without what changes at every look."""
    passing = ("remaining_s", "progress", "jobs", "device_seconds", "device_seconds_by_worker", "suggesting_s")
    return {name: value for name, value in view.items() if name not in passing}
