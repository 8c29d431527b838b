"""Which runner does which kind of job."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from protocol.jobs import JobKind
from worker.runner import Runner
from worker.runners.calibrate import CalibrateRunner
from worker.runners.distill import DistillRunner
from worker.runners.finalize import FinalizeRunner
from worker.runners.measure import MeasureRunner
from worker.runners.prepare import PrepareRunner
from worker.workplace import Workplace

RUNNERS: dict[JobKind, Callable[[Workplace], Runner]] = {
    JobKind.PREPARE: PrepareRunner,
    JobKind.CALIBRATE: CalibrateRunner,
    JobKind.MEASURE: MeasureRunner,
    JobKind.DISTILL: DistillRunner,
    JobKind.FINALIZE: FinalizeRunner,
}


def runners(workplace: Workplace, kinds: Iterable[JobKind]) -> dict[JobKind, Runner]:
    """A runner for each of these kinds."""
    return {kind: RUNNERS[kind](workplace) for kind in kinds}
