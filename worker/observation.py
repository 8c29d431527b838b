"""What a distillation tells of itself, as a job's progress."""

from __future__ import annotations

from pathlib import Path

from worker.runner import Reporter
from worker.turns import Turns


class Observation:
    """An observer (see `distillation.observer`) that passes on to a job's reporter, and takes turns on the device.

    Checkpoints are sent where the job is `resumable` from them anywhere.
    """

    def __init__(self, reporter: Reporter, turns: Turns, *, resumable: bool = True) -> None:
        self._reporter, self._turns, self._resumable = reporter, turns, resumable
        self._stage = ""

    def stage(self, name: str) -> None:
        self._stage = name
        self._reporter.progress(name)

    def step(self, step: int, steps: int, loss: float) -> None:
        del loss
        self._reporter.progress(self._stage, step, steps)

    def evaluated(self, step: int, value: float) -> None:
        self._reporter.evaluated(step, value)

    def checkpointed(self, folder: Path) -> None:
        if self._resumable:
            self._reporter.checkpoint(folder)

    def should_stop(self) -> bool:
        self._turns.offer()
        return self._reporter.should_stop()
