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
        for done, (name, architecture) in enumerate(work.architectures.items()):
            if reporter.should_stop():
                raise Interrupted(f"stopped after {done} of {len(work.architectures)} measurements")
            reporter.progress(f"measuring the {name}", done, len(work.architectures))
            measurements[name] = measure(architecture, work.head, work.profile, work.effort, seed=work.seed)
        return Calibrated(measurements=measurements)
