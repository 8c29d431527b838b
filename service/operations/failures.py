"""What follows from what went wrong."""

from __future__ import annotations

from protocol.jobs import AttemptEnd, CalibrateWork, Failure, FailureReason, JobKind, JobState
from protocol.views import FinalistState, StudyState, TrialState
from service.operations.early_stopping import carry_out
from service.operations.finalists import complete_if_ended
from service.operations.trials import begin_search
from service.store.tables import Job, Study, Trial
from service.store.unit_of_work import UnitOfWork

FEWEST_FAILED = 5
"""Failed trials before a study may be given up for them."""


def job_failed(uow: UnitOfWork, study: Study, job: Job, failure: Failure, max_attempts: int) -> None:
    """Queues the job again while that may help, else ends it and what depends on it. The study must be locked."""
    job.error = f"{failure.reason}: {failure.message}"
    job.failures += 1
    # An expired lease took a machine until its deadline, however late that is noticed.
    is_expired = failure.reason is FailureReason.LEASE_EXPIRED
    ended_at = min(uow.now, job.expires_at or uow.now) if is_expired else uow.now
    uow.attempts.end(job, AttemptEnd(failure.reason), ended_at, failure.message)
    if failure.retriable and carry_out(uow, job):
        return
    if failure.retriable and job.attempt - job.released < max_attempts:
        requeue(uow, job)
        return
    job.state = JobState.FAILED
    job.ended_at = uow.now
    job.expires_at = None
    if isinstance(job.work, CalibrateWork) and job.work.sample:
        # Predictions help a search, which does as well without.
        study.notes = (*study.notes, f"no latency is predicted, because the calibration failed: {job.error}")
        begin_search(uow, study)
        return
    if job.trial_id is None:
        fail_study(uow, study, f"the {job.kind} job failed: {job.error}", failure.reason)
    elif job.is_of_finalist:
        finalist = uow.trials.finalist(job.trial_id)
        finalist.state, finalist.error, finalist.failure = FinalistState.FAILED, job.error, failure.reason
        uow.flush()
        complete_if_ended(uow, study)
    elif failure.reason is FailureReason.OUT_OF_MEMORY:
        # That is found out about the architecture: the strategy learns from it.
        end_trial(uow, uow.trials.get(job.trial_id), TrialState.INFEASIBLE, f"out of memory: {failure.message}")
    else:
        end_trial(uow, uow.trials.get(job.trial_id), TrialState.FAILED, f"the {job.kind} job failed: {job.error}")
        _give_up_if_hopeless(uow, study, job.error, failure.reason)


def requeue(uow: UnitOfWork, job: Job) -> None:
    """Puts a leased job back in the queue, unless it is to be stopped; its checkpoint stays with it."""
    if carry_out(uow, job):
        return
    job.state = JobState.QUEUED
    job.worker = job.expires_at = job.progress = None
    if job.kind in (JobKind.MEASURE, JobKind.EVALUATE) and job.trial_id is not None and not job.is_of_finalist:
        uow.trials.get(job.trial_id).state = TrialState.PENDING


def end_trial(uow: UnitOfWork, trial: Trial, state: TrialState, reason: str | None = None) -> None:
    trial.state, trial.reason, trial.ended_at = state, reason, uow.now
    uow.flush()


def fail_study(uow: UnitOfWork, study: Study, error: str, reason: FailureReason) -> None:
    """Ends the study and all that is still open in it; `reason` is for programs, `error` for people."""
    study.state, study.error, study.failure, study.ended_at = StudyState.FAILED, error, reason, uow.now
    uow.flush()
    uow.jobs.cancel(study.id, uow.now)  # jobs before trials, the order in which a lease locks them
    for trial in uow.trials.of(study.id):
        if not trial.state.ended:
            end_trial(uow, trial, TrialState.STOPPED, "the study failed")
    for finalist in uow.trials.finalists(study.id):
        if finalist.state is FinalistState.FINALIZING:
            finalist.state, finalist.error, finalist.failure = FinalistState.FAILED, "the study failed", reason


def _give_up_if_hopeless(uow: UnitOfWork, study: Study, error: str, reason: FailureReason) -> None:
    counts = uow.trials.counts(study.id)
    failed = counts.get(TrialState.FAILED, 0)
    evaluated = sum(counts.get(state, 0) for state in (TrialState.COMPLETED, TrialState.INFEASIBLE, TrialState.STOPPED))
    if failed >= FEWEST_FAILED and failed > evaluated and study.state is StudyState.SEARCHING:
        message = f"{failed} trials failed and only {evaluated} did not; the last one: {error}"
        fail_study(uow, study, message, reason)
