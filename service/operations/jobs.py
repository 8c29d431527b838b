"""The life of a lease: granted, renewed, and ended by a report, a release or its expiry.

A job is executed at least once, and at most one outcome of it is accepted: every write carries the attempt that the
lease was granted with, and is refused when the job has moved on.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from protocol.jobs import (
    AttemptEnd,
    Command,
    Distilled,
    DistillWork,
    Failure,
    FailureReason,
    FinalizeWork,
    Grant,
    JobKind,
    JobState,
    LeaseRequest,
    Release,
    Renewal,
    Renewed,
    Report,
    Stopped,
    Work,
    refusal,
)
from protocol.views import TrialState
from service.errors import (
    BusyError,
    InvalidError,
    LeaseLostError,
    NotFoundError,
    UnknownArtefactError,
    UpgradeNeededError,
)
from service.operations.early_stopping import carry_out, merged
from service.operations.failures import job_failed, requeue
from service.operations.machines import can_measure, mixed, settle
from service.operations.outcomes import artefacts_of, distilled, follow
from service.operations.readings import store_readings, with_drift
from service.settings import Settings
from service.store.jobs import Held, Leased
from service.store.reports import Distilling
from service.store.tables import Job, is_of_finalist
from service.store.unit_of_work import UnitOfWork
from service.store.workers import Asking, is_due

Found = TypeVar("Found")


def lease(uow: UnitOfWork, settings: Settings, request: LeaseRequest, study: int | None = None) -> Grant | None:
    """The job whose turn it is among those that the worker can do, of this study if one is named; or None.

    The same request gets the same job for as long as the lease lasts, and never another one.

    Raises:
        UpgradeNeededError: the worker speaks a version of the protocol that is not served.
        BusyError: the same request is being answered.
    """
    refused = refusal(request.protocol_version)
    if refused is not None:
        raise UpgradeNeededError(refused)
    asking = uow.workers.asks(request.worker, request.request)
    if _is_news(asking, request, uow):
        uow.workers.seen(request.worker, request.kinds, request.targets, uow.now)
    if asking.job is not None:
        return _granted_again(uow, settings, asking, request)
    store_readings(uow, request)
    queue = uow.jobs.queue(request.kinds, uow.now, study)
    if queue.is_overdue and sweep(uow, settings):
        queue = uow.jobs.queue(request.kinds, uow.now, study)
    job = uow.jobs.lease(
        queue.lanes,
        request.kinds,
        request.targets,
        worker=request.worker,
        now=uow.now,
        expires_at=uow.now + timedelta(seconds=settings.lease_s),
    )
    if job is None:
        return None
    if not uow.attempts.begin(job, request.worker, request.request, uow.now):
        raise BusyError(f"request {request.request} is being answered; send it again")
    if job.trial_id is not None and job.kind in (JobKind.MEASURE, JobKind.EVALUATE) and not is_of_finalist(job.work):
        uow.trials.get(job.trial_id).state = TrialState.MEASURING
    uow.events.leased(job.study_id, job.trial)
    return _grant(uow, settings, job, request)


def has_nothing(uow: UnitOfWork, request: LeaseRequest) -> bool:
    """Whether `lease` would now grant nothing to this request, and write nothing; what it refuses is left to it."""
    if refusal(request.protocol_version) is not None or request.readings:
        return False
    asking = uow.workers.asks(request.worker, request.request)
    if asking.job is not None or _is_news(asking, request, uow):
        return False
    queue = uow.jobs.queue(request.kinds, uow.now)
    return not queue.is_overdue and not any(lane.suits(request.kinds, request.targets) for lane in queue.lanes)


def _is_news(asking: Asking, request: LeaseRequest, uow: UnitOfWork) -> bool:
    """Whether something about the worker is to be written down."""
    return (asking.kinds, asking.targets) != (request.kinds, request.targets) or is_due(asking.seen_at, uow.now)


def _granted_again(uow: UnitOfWork, settings: Settings, earlier: Asking, request: LeaseRequest) -> Grant | None:
    """The answer must have been lost: the lease begins anew. Nothing where it has ended, or is somebody else's."""
    assert earlier.job is not None
    job = _lock(uow, earlier.job)
    if earlier.worker != request.worker or job.state is not JobState.LEASED or job.attempt != earlier.attempt:
        return None
    job.expires_at = uow.now + timedelta(seconds=settings.lease_s)
    leased = Leased(
        id=job.id,
        attempt=job.attempt,
        kind=job.kind,
        study_id=job.study_id,
        study=uow.studies.name(job.study_id),
        trial_id=job.trial_id,
        trial=None if job.trial_id is None else uow.trials.get(job.trial_id).number,
        expires_at=job.expires_at,
        work=job.work,
        checkpoint=job.checkpoint,
    )
    return _grant(uow, settings, leased, request)


def _grant(uow: UnitOfWork, settings: Settings, job: Leased, request: LeaseRequest) -> Grant:
    return Grant(
        job=job.id,
        attempt=job.attempt,
        study=job.study,
        trial=job.trial,
        expires_at=job.expires_at,
        lease_s=settings.lease_s,
        work=_fitting(uow, job, request),
    )


def renew(uow: UnitOfWork, settings: Settings, identity: int, renewal: Renewal) -> Renewed:
    """Extends the lease and stores how far the job is. A late renewal counts as long as nobody else has the job.

    Raises:
        NotFoundError, LeaseLostError; UnknownArtefactError: the checkpoint was never uploaded.
    """
    job = _known(uow.jobs.hold(identity), identity)
    if job.worker is not None and is_due(job.seen_at, uow.now):
        uow.workers.renewed(job.worker, uow.now)
    if _cancelled(job, renewal.attempt):
        return Renewed(expires_at=uow.now, command=Command.CANCEL)
    _check_lease(job, renewal.attempt)
    in_order = renewal.number >= job.renewal  # else it was overtaken on its way
    checkpoint = renewal.checkpoint if in_order else None
    progress = (renewal.progress if in_order else None) or job.progress
    if checkpoint is not None:
        _check_uploaded(uow, [checkpoint])
    expires_at = uow.now + timedelta(seconds=settings.lease_s)
    uow.jobs.renew(
        job,
        expires_at=expires_at,
        renewal=max(renewal.number, job.renewal),
        progress=progress,
        checkpoint=checkpoint or job.checkpoint,
        curve=merged(job.curve, renewal.curve) if renewal.curve else job.curve,
    )
    if progress != job.progress or checkpoint is not None or renewal.curve:
        uow.events.progressed(job.study_id, job.trial)
    return Renewed(expires_at=expires_at, command=Command.STOP if job.stops else Command.CONTINUE)


def report(uow: UnitOfWork, settings: Settings, identity: int, message: Report) -> None:
    """Ends the attempt: with an outcome, what comes next is queued; with a failure, the job is perhaps queued again.

    The same report of the same attempt may come any number of times.

    Raises:
        NotFoundError, LeaseLostError; InvalidError: the outcome does not answer this job, or nobody told it to stop;
        UnknownArtefactError: it names an artefact that was never uploaded.
    """
    digest = _digest(message)
    if isinstance(message.result, Distilled):
        distilling = _known(uow.reports.lock(identity), identity)
        if _is_new(uow, distilling, message, digest):
            distilled(uow, distilling, message.attempt, digest, message.result)
        return
    study = _known(uow.studies.lock_of(identity), identity)
    job = _lock(uow, identity)
    if not _is_new(uow, job, message, digest):
        return
    job.reported_attempt, job.reported_digest = message.attempt, digest
    if isinstance(message.result, Failure):
        job_failed(uow, study, job, message.result, settings.max_attempts)
        return
    if isinstance(message.result, Stopped):
        job.progress = message.result.progress or job.progress
        if not carry_out(uow, job):
            raise InvalidError(f"nobody told job {job.id} to stop")
        uow.attempts.end(job, AttemptEnd.STOPPED_EARLY, uow.now)
        return
    mixture = mixed(study, message.result)
    if mixture is not None:
        job_failed(uow, study, job, Failure(reason=FailureReason.ERROR, message=mixture), settings.max_attempts)
        return
    job.state, job.ended_at, job.expires_at = JobState.DONE, uow.now, None
    settle(study, message.result)
    uow.attempts.end(job, AttemptEnd.DONE, uow.now)
    outcome = with_drift(uow, job.worker, message.result)
    assert not isinstance(outcome, Distilled)
    if follow(uow, study, job, outcome):
        uow.attempts.found_infeasible(job)


def release(uow: UnitOfWork, identity: int, message: Release) -> None:
    """Queues the job again at once; the attempt does not count. May be repeated.

    Raises:
        NotFoundError, LeaseLostError, UnknownArtefactError.
    """
    job = _lock(uow, identity)
    if _cancelled(job, message.attempt) or _released(uow, job, message.attempt):
        return
    _check_lease(job, message.attempt)
    _store_checkpoint(uow, job, message.checkpoint)
    job.released += 1
    uow.attempts.end(job, AttemptEnd.RELEASED, uow.now)
    requeue(uow, job)


def sweep(uow: UnitOfWork, settings: Settings) -> int:
    """Ends the leases that were not renewed in time; how many they were.

    None is ended within one lease after the database did not answer: their workers could not renew them.
    """
    if uow.unanswered_at is not None and uow.now < uow.unanswered_at + timedelta(seconds=settings.lease_s):
        return 0
    swept = 0
    for study_id, expired in groupby(uow.jobs.expired(uow.now), key=itemgetter(0)):
        study = uow.studies.lock(study_id)
        for _, identity in expired:
            job = uow.jobs.lock(identity)
            # Somebody may have renewed or ended it since it was found.
            if job is None or job.state is not JobState.LEASED or job.expires_at is None or job.expires_at > uow.now:
                continue
            attempts = job.attempt - job.released
            message = (
                f"the lease of worker {job.worker} ended without a word from it, {attempts} of "
                f"{settings.max_attempts} attempts"
            )
            failure = Failure(reason=FailureReason.LEASE_EXPIRED, message=message)
            job_failed(uow, study, job, failure, settings.max_attempts)
            swept += 1
    uow.flush()
    return swept


def _resumed(job: Leased) -> Work:
    """The job's work, from where an earlier attempt stopped."""
    work = job.work
    if isinstance(work, DistillWork | FinalizeWork) and job.checkpoint is not None:
        return work.model_copy(update={"checkpoint": job.checkpoint})
    return work


def _fitting(uow: UnitOfWork, job: Leased, request: LeaseRequest) -> Work:
    """The job's work without what this worker cannot do of it: another one measures what it exports then."""
    work = _resumed(job)
    if not isinstance(work, FinalizeWork) or work.profile is None:
        return work
    if can_measure(request.targets, work.profile, uow.studies.get(job.study_id)):
        return work
    return work.model_copy(update={"profile": None})


def _lock(uow: UnitOfWork, identity: int) -> Job:
    return _known(uow.jobs.lock(identity), identity)


def _known(found: Found | None, identity: int) -> Found:
    if found is None:
        raise NotFoundError(f"there is no job {identity}")
    return found


def _cancelled(job: Job | Held, attempt: int) -> bool:
    return job.state is JobState.CANCELLED and job.attempt == attempt


def _released(uow: UnitOfWork, job: Job, attempt: int) -> bool:
    """Whether this attempt was given back before; the one that asks has nothing to do with what became of it."""
    row = uow.attempts.get(job.id, attempt) if 0 < attempt <= job.attempt else None
    return row is not None and row.reason is AttemptEnd.RELEASED


def _is_new(uow: UnitOfWork, job: Job | Distilling, message: Report, digest: str) -> bool:
    """Whether the report is to be carried out: False where it was.

    Raises:
        LeaseLostError, UnknownArtefactError.
    """
    if (job.reported_attempt, job.reported_digest) == (message.attempt, digest):
        return False
    _check_lease(job, message.attempt)
    if not isinstance(message.result, Failure | Stopped):
        _check_uploaded(uow, artefacts_of(message.result))
    return True


def _check_lease(job: Job | Held | Distilling, attempt: int) -> None:
    if job.state is not JobState.LEASED or job.attempt != attempt:
        raise LeaseLostError(
            f"attempt {attempt} no longer has job {job.id}, which is {job.state} at attempt {job.attempt}: drop it and "
            "ask for another"
        )


def _store_checkpoint(uow: UnitOfWork, job: Job, checkpoint: str | None) -> None:
    if checkpoint is not None:
        _check_uploaded(uow, [checkpoint])
        job.checkpoint = checkpoint


def _check_uploaded(uow: UnitOfWork, identities: list[str]) -> None:
    missing = uow.artefacts.missing(identities, uow.now)
    if missing:
        raise UnknownArtefactError(f"artefact {missing[0]} was never uploaded: send it first")


def _digest(message: Report) -> str:
    """SHA-256 of the report's canonical form.

    Raises:
        InvalidError: it holds a number that is not finite.
    """
    try:
        text = json.dumps(message.result.model_dump(), sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise InvalidError("the report holds a number that is not finite; report a failure instead") from error
    return hashlib.sha256(text.encode()).hexdigest()
