"""Early stopping: who is watched, what is decided, and how a decision is carried out.

A decision is stored with its trial and never taken back. It is carried out when the training has ended because of it,
or where nobody works on it any more; a training that was faster than the decision counts as if there were none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.early_stop import EarlyStop
from protocol.jobs import CurvePoint, DistillWork, JobKind, JobState
from protocol.views import TrialState
from service.store.jobs import OPEN
from service.store.tables import Job, Study, Trial
from service.store.unit_of_work import UnitOfWork

BASELINE = "baseline"
"""How the origin of a trial begins whose shape the user named: it is there to be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A distillation of so many steps that may be stopped. `curve` is what is known of it so far."""

    study: int
    job: int
    trial: int
    steps: int
    curve: tuple[CurvePoint, ...]


def watched(uow: UnitOfWork, study: Study) -> list[Watched]:
    """The open distillations of the study that have begun to learn, and of which nothing is decided yet."""
    if not study.spec.early_stopping:
        return []
    return [
        Watched(study=study.id, job=job.id, trial=trial.id, steps=job.work.steps, curve=job.curve)
        for job in uow.jobs.open(study.id)
        if job.curve and isinstance(job.work, DistillWork) and (trial := _stoppable(uow, job)) is not None
    ]


def decide_stop(uow: UnitOfWork, study: int, identity: int, stop: EarlyStop) -> bool:
    """Stores the decision, unless the distillation has ended or it was decided before; whether it was stored.

    Who works on it is told at the next renewal; where nobody does, the trial is stopped at once.
    """
    uow.studies.lock(study)
    job = uow.jobs.lock(identity)
    trial = None if job is None or job.state not in OPEN else _stoppable(uow, job)
    if job is None or trial is None:
        return False
    trial.early_stop = stop
    if job.state is JobState.QUEUED:
        carry_out(uow, job)
    return True


def carry_out(uow: UnitOfWork, job: Job) -> bool:
    """Ends the job and its trial, if that was decided; whether it was. The job must be locked."""
    trial = _decided(uow, job)
    if trial is None or trial.early_stop is None:
        return False
    stop = trial.early_stop
    spent = max(stop.step, _steps_done(job, stop.steps))
    trial.early_stop = stop.model_copy(update={"saved_steps": max(0, stop.steps - spent)})
    job.state, job.ended_at, job.expires_at = JobState.CANCELLED, uow.now, None
    trial.state, trial.reason, trial.ended_at = TrialState.STOPPED, stop.reason, uow.now
    uow.flush()
    return True


def merged(known: Sequence[CurvePoint] | None, told: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """The curve with what a worker tells of it: it may have gone on from a checkpoint before the newest point."""
    points = {point.step: point for point in (*(known or ()), *told)}
    return tuple(points[step] for step in sorted(points))


def _stoppable(uow: UnitOfWork, job: Job) -> Trial | None:
    if job.kind is not JobKind.DISTILL or job.trial_id is None:
        return None
    trial = uow.trials.get(job.trial_id)
    return None if trial.early_stop is not None or trial.origin.startswith(BASELINE) else trial


def _decided(uow: UnitOfWork, job: Job) -> Trial | None:
    if job.kind is not JobKind.DISTILL or job.trial_id is None:
        return None
    trial = uow.trials.get(job.trial_id)
    return None if trial.early_stop is None else trial


def _steps_done(job: Job, steps: int) -> int:
    """As far as the progress tells: its total is that of the training, or of something else."""
    is_training = job.progress is not None and job.progress.total == steps
    return job.progress.done if job.progress is not None and is_training else 0
