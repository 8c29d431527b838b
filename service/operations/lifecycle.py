"""Studies are stopped, resumed, extended and deleted.

A worker that still works for a study that was stopped hears at its next renewal that its job is cancelled; what it
reports all the same is refused as of a lost lease, and of a deleted study as of an unknown job. Nothing that was
accepted before is lost: trials keep what is known of them, and jobs their checkpoints.
"""

from __future__ import annotations

import math

from pydantic import ValidationError

from protocol.changes import ExtendStudy
from protocol.events import EventKind, Topic
from protocol.mistakes import explained
from protocol.study import Budget
from protocol.views import FinalistState, StudyState, TrialState
from service.errors import InvalidError, StudyEndedError, StudyRunningError
from service.operations.cost import device_s
from service.operations.failures import requeue
from service.operations.studies import get_study
from service.store.tables import Job, Study
from service.store.unit_of_work import UnitOfWork


def stop_study(uow: UnitOfWork, name: str) -> None:
    """Nothing of the study is worked on from now on. May be repeated.

    Raises:
        NotFoundError; StudyEndedError: there is nothing to stop.
    """
    study = _locked(uow, name)
    if study.state is StudyState.STOPPED:
        return
    _check_not_ended(study)
    study.stopped_from, study.stopped_at, study.state = study.state, uow.now, StudyState.STOPPED
    uow.flush()
    uow.jobs.cancel(study.id, uow.now)
    for trial in uow.trials.of(study.id, TrialState.MEASURING):
        trial.state = TrialState.PENDING


def resume_study(uow: UnitOfWork, name: str) -> None:
    """A stopped study goes on where it was; its jobs are queued again, with their checkpoints. May be repeated.

    Raises:
        NotFoundError; StudyEndedError: there is nothing to resume.
    """
    study = _locked(uow, name)
    _check_not_ended(study)
    if study.state is not StudyState.STOPPED or study.stopped_from is None:
        return
    jobs = [job for job in uow.studies.cancelled_jobs(study) if _is_wanted(uow, job)]
    study.state, study.stopped_from, study.stopped_at = study.stopped_from, None, None
    for job in jobs:
        job.ended_at = None
        if job.worker is not None:
            job.released += 1  # an attempt that was cut short by somebody counts for nothing
        requeue(uow, job)


def extend_study(uow: UnitOfWork, name: str, wanted: ExtendStudy) -> None:
    """Raises the totals of the study's budget. A study that is past its search goes back to it; its finalists stay.

    Raises:
        NotFoundError; StudyEndedError: it failed; InvalidError: a total that is not larger than before or
            means nothing here, or hours that are spent already.
    """
    study = _locked(uow, name)
    if study.state is StudyState.FAILED:
        raise StudyEndedError(f"study {name!r} failed and cannot be extended: start it again under a new name")
    if study.spec.external is not None and wanted.finalists is not None:
        raise InvalidError("finalists: an external study has none, its front is what it is for")
    study.spec = study.spec.model_copy(update={"budget": _larger(study.spec.budget, wanted)})
    if wanted.trials is not None or wanted.device_hours is not None:  # finalists come on top of the hours
        _check_hours(study.spec.budget, device_s(uow, study) / 3600)
    if study.state in (StudyState.FINALIZING, StudyState.COMPLETED):
        study.state, study.ended_at = StudyState.SEARCHING, None
    if study.stopped_from is StudyState.FINALIZING:
        study.stopped_from = StudyState.SEARCHING


def delete_study(uow: UnitOfWork, name: str) -> None:
    """Removes all that is stored of the study; its artefacts are collected as others are that nothing refers to.

    Raises:
        NotFoundError; StudyRunningError: it has neither ended nor been stopped.
    """
    study = _locked(uow, name)
    if not study.state.ended and study.state is not StudyState.STOPPED:
        raise StudyRunningError(f"study {name!r} is {study.state}: stop it before you delete it")
    uow.studies.delete(study)
    uow.events.note(Topic.STUDY, EventKind.DELETED, study.name)


def _locked(uow: UnitOfWork, name: str) -> Study:
    return uow.studies.lock(get_study(uow, name).id)


def _check_not_ended(study: Study) -> None:
    if study.state.ended:
        raise StudyEndedError(f"study {study.name!r} is {study.state}: it has ended by itself")


def _is_wanted(uow: UnitOfWork, job: Job) -> bool:
    """Whether what the job is for was still open when the study was stopped."""
    if job.trial_id is None:
        return True
    if job.is_of_finalist:
        return uow.trials.finalist(job.trial_id).state is FinalistState.FINALIZING
    return not uow.trials.get(job.trial_id).state.ended


def _check_hours(budget: Budget, spent_hours: float) -> None:
    """Where no hours are left, the study would end again at once, without a trial and without a word."""
    if budget.device_hours is not None and spent_hours >= budget.device_hours:
        spent = math.ceil(100 * spent_hours) / 100
        raise InvalidError(f"device_hours: {spent:g} of {budget.device_hours:g} are spent already, name a larger total")


def _larger(budget: Budget, wanted: ExtendStudy) -> Budget:
    for total, value in wanted.totals.items():
        before = getattr(budget, total, None)
        if before is None:
            raise InvalidError(f"{total}: the study's budget has no such limit")
        if value <= before:
            raise InvalidError(f"{total}: must be above the {before:g} that the study has already, got {value:g}")
    try:
        return Budget.model_validate({**budget.model_dump(), **wanted.totals})
    except ValidationError as error:
        raise InvalidError(str(explained(error.errors(), Budget)[0])) from error
