"""`measure`: the latency of one architecture, or of what was exported of a finalist."""

from __future__ import annotations

from pathlib import Path

from hardware.procedure import measure
from protocol.jobs import Grant, Measured, MeasureWork
from worker.runner import Reporter, work_of
from worker.workplace import Workplace


class MeasureRunner:
    """Cannot be interrupted half-way: a measurement is short, and half of one tells nothing."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, grant: Grant, reporter: Reporter) -> Measured:
        work = work_of(grant, MeasureWork)
        reporter.progress("measuring")
        measurement = measure(
            work.architecture,
            work.head,
            work.profile,
            work.effort,
            quantiles=work.quantiles,
            checkpoint=self._checkpoint(work),
            seed=work.seed,
        )
        return Measured(measurement=measurement)

    def _checkpoint(self, work: MeasureWork) -> Path | None:
        return None if work.checkpoint is None else self._workplace.artefacts.shared_folder(work.checkpoint)
