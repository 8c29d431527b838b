"""How far workers' machines have drifted: their readings of the reference architecture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from hardware.values import Measurement
from protocol.jobs import Calibrated, Distilled, Evaluated, Finalized, LeaseRequest, Measured, Outcome, Prepared
from protocol.views import DriftView
from service.operations.machines import measurements_of
from service.store.tables import ReadingRow
from service.store.unit_of_work import UnitOfWork

FEWEST = 3
"""Earlier readings from which a drift is told."""

FRESH = timedelta(hours=3)
"""How long a reading speaks for its worker's machine: a worker takes one every hour while it is not disturbed."""

MOST = 50
"""Earlier readings that the newest is compared with."""


def store_readings(uow: UnitOfWork, request: LeaseRequest) -> None:
    for reading in request.readings:
        uow.workers.add_reading(ReadingRow(worker=request.worker, **reading.model_dump()))


def drifts_of(uow: UnitOfWork, workers: Collection[str]) -> dict[str, list[DriftView]]:
    """By worker, the newest undisturbed reading of each of its targets, if it is fresh, against earlier ones.

    Those are of any worker: machines of equal hardware keys are taken to be equally fast, and a worker that was started
    again has another name.
    """
    found: dict[str, list[DriftView]] = {worker: [] for worker in workers}
    readings = uow.workers.newest_readings(workers, uow.now - FRESH)
    for newest, drift in zip(readings, _drifts(uow, readings), strict=True):
        found[newest.worker].append(drift)
    return found


def drifts_on(uow: UnitOfWork, hardware_keys: Collection[str]) -> list[DriftView]:
    """The newest undisturbed reading of each target on such hardware, against earlier ones."""
    return list(_drifts(uow, uow.workers.newest_readings_on(hardware_keys)))


def drift_note(drift: DriftView) -> str:
    assert drift.drift is not None
    return (
        f"the reference architecture takes {abs(math.expm1(drift.drift)):.1%} {'more' if drift.drift > 0 else 'less'}"
        f" than the median of {drift.earlier} earlier readings on such hardware ({drift.target})"
    )


def with_drift(uow: UnitOfWork, worker: str | None, outcome: Outcome) -> Outcome:
    """The outcome; its measurements say if the worker's machine had drifted when they were taken."""
    if worker is None or not measurements_of(outcome):
        return outcome
    drifts = [drift for drift in drifts_of(uow, (worker,))[worker] if drift.beyond]
    if not drifts:
        return outcome

    def noted(measurement: Measurement) -> Measurement:
        device = str(measurement.profile.device)
        notes = tuple(drift_note(drift) for drift in drifts if drift.target.partition("/")[0] == device)
        return replace(measurement, notes=(*measurement.notes, *notes))

    match outcome:
        case Measured():
            return outcome.model_copy(update={"measurement": noted(outcome.measurement)})
        case Finalized():
            found = outcome.measurement
            return outcome if found is None else outcome.model_copy(update={"measurement": noted(found)})
        case Calibrated():
            measured = {name: noted(measurement) for name, measurement in outcome.measurements.items()}
            return outcome.model_copy(update={"measurements": measured})
        case Prepared() | Distilled() | Evaluated():
            return outcome
        case unreachable:
            assert_never(unreachable)


def _drifts(uow: UnitOfWork, readings: Sequence[ReadingRow]) -> Iterator[DriftView]:
    earlier_s = uow.workers.earlier_s(readings, MOST)
    for newest in readings:
        yield _drift(newest, earlier_s[newest.id])


def _drift(newest: ReadingRow, earlier_s: Sequence[float]) -> DriftView:
    drift = math.log(newest.p50_s / statistics.median(earlier_s)) if earlier_s else None
    return DriftView(
        target=newest.target,
        hardware_key=newest.hardware_key,
        p50_s=newest.p50_s,
        measured_at=newest.measured_at,
        earlier=len(earlier_s),
        drift=drift,
        beyond=drift is not None and len(earlier_s) >= FEWEST and abs(drift) > newest.tolerance,
    )
