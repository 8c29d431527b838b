"""`measure`: the latency of one architecture."""

from __future__ import annotations

from hardware.procedure import measure
from protocol.jobs import Grant, Measured, MeasureWork
from worker.runner import Reporter, work_of
from worker.workplace import Workplace


class MeasureRunner:
    """Cannot be interrupted half-way: a measurement is short, and half of one tells nothing."""

    def __init__(self, workplace: Workplace) -> None:
        del workplace

    def run(self, grant: Grant, reporter: Reporter) -> Measured:
        work = work_of(grant, MeasureWork)
        reporter.progress("measuring")
        measurement = measure(
            work.architecture, work.head, work.profile, work.effort, quantiles=work.quantiles, seed=work.seed
        )
        return Measured(measurement=measurement)
