"""`calibrate`: the latencies of a study's reference architectures."""

from __future__ import annotations

from hardware.procedure import measure
from protocol.jobs import Calibrated, CalibrateWork, Grant
from worker.errors import Interrupted
from worker.runner import Reporter, work_of
from worker.workplace import Workplace


class CalibrateRunner:
    """Stops between two architectures."""

    def __init__(self, workplace: Workplace) -> None:
        del workplace

    def run(self, grant: Grant, reporter: Reporter) -> Calibrated:
        work = work_of(grant, CalibrateWork)
        measurements = {}
        for done, (name, reference) in enumerate(work.references.items()):
            if reporter.should_stop():
                raise Interrupted(f"stopped after {done} of {len(work.references)} measurements")
            reporter.progress(f"measuring the {name}", done, len(work.references))
            measurements[name] = measure(
                reference.architecture,
                work.head,
                work.profile,
                reference.effort,
                quantiles=work.quantiles,
                seed=work.seed,
            )
        return Calibrated(measurements=measurements)
