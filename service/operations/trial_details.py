"""What is known of one trial beside its view: curves, and measurements with their samples."""

from __future__ import annotations

from dataclasses import replace

from distillation.values import Fidelity
from protocol.plots import CurvesView, MeasurementView
from service.operations.studies import get_trial
from service.store.unit_of_work import UnitOfWork


def curves(uow: UnitOfWork, name: str, number: int) -> CurvesView:
    """Raises: NotFoundError."""
    study, trial = get_trial(uow, name, number)
    known = {row.fidelity: row.curve for row in uow.trials.evaluations(study.id, [trial.id])}
    running = [job.curve for job in uow.jobs.open(study.id) if job.trial_id == trial.id and job.curve]
    return CurvesView(
        flash=known.get(Fidelity.FLASH, ()),
        full=known.get(Fidelity.FULL, ()),
        running=running[-1] if running else (),
        teacher=None if study.prepared is None else study.prepared.teacher_selection.value,
    )


def measurements(uow: UnitOfWork, name: str, number: int, *, samples: bool) -> tuple[MeasurementView, ...]:
    """The oldest first. Raises: NotFoundError."""
    study, trial = get_trial(uow, name, number)
    return tuple(
        MeasurementView(
            role=row.role,
            measurement=replace(row.measurement, samples_s=row.samples_s) if samples else row.measurement,
            samples=row.samples,
            created_at=row.created_at,
        )
        for row in uow.trials.measurements(study.id, [trial.id], samples=samples)
    )
