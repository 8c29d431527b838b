"""`calibrate`: the latencies of a study's reference architectures, or a model of its target from a sample."""

from __future__ import annotations

from hardware.calibration import CalibrationError, calibrate
from hardware.errors import MeasurementError, OutOfMemoryError
from hardware.procedure import measure
from hardware.values import Measurement
from protocol.calibration import CalibrationRecord
from protocol.jobs import Calibrated, CalibrateWork, Grant
from search_space import Architecture
from worker.errors import Interrupted
from worker.failures import failure_of
from worker.in_use import device_in_use
from worker.room import lack_of_room
from worker.runner import Reporter, work_of
from worker.workplace import Workplace


class CalibrateRunner:
    """Stops between two architectures; of a sample what was measured is kept in the home, and goes on from there."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, grant: Grant, reporter: Reporter) -> Calibrated:
        work = work_of(grant, CalibrateWork)
        measurements, missing = {}, {}
        for done, (name, reference) in enumerate(work.references.items()):
            _check(reporter, done, len(work.references))
            reporter.progress(f"measuring the {name}", done, len(work.references))
            try:
                measurements[name] = measure(
                    reference.architecture,
                    work.head,
                    work.profile,
                    reference.effort,
                    quantiles=work.quantiles,
                    seed=work.seed,
                )
            except OutOfMemoryError as error:  # the service knows which of them it can do without
                missing[name] = failure_of(error).message
        calibration = self._of_sample(work, reporter)
        return Calibrated(measurements=measurements, missing=missing, calibration=calibration)

    def _of_sample(self, work: CalibrateWork, reporter: Reporter) -> CalibrationRecord | None:
        if not work.sample:
            return None

        def observe(done: int, total: int, architecture: Architecture) -> None:
            _check(reporter, done, total)
            reporter.progress(f"measuring {architecture.label}", done, total)

        def measured(architecture: Architecture) -> Measurement:
            try:
                return measure(
                    architecture, work.head, work.profile, work.effort, quantiles=work.quantiles, seed=work.seed
                )
            except MeasurementError as error:
                if lack_of_room(error, self._workplace.work) or device_in_use(error):
                    # No fault of the architecture: it is not left out, the job is given back and goes on from here.
                    raise CalibrationError(str(error)) from error
                raise

        calibration = calibrate(
            work.sample,
            work.profile,
            work.head,
            measured,
            effort=work.effort,
            quantile=work.quantiles[0],
            space_key=work.space_key,
            seed=work.seed,
            kept=self._workplace.calibrations,
            observe=observe,
        )
        return CalibrationRecord.model_validate(calibration)


def _check(reporter: Reporter, done: int, total: int) -> None:
    if reporter.should_stop():
        raise Interrupted(f"stopped after {done} of {total} measurements")
