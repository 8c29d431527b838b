"""What became of a job: its attempts, and the writes that were refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.jobs import Release, Renewal, Report
from protocol.views import AttemptView, JobView, StaleWriteView
from service.errors import LeaseLostError, NotFoundError
from service.store.tables import StaleWrite
from service.store.unit_of_work import Store, UnitOfWork

LONGEST = 2000
"""Characters that are kept of what was said."""

Write = Renewal | Report | Release


@contextmanager
def audited(store: Store, identity: int, message: Write) -> Iterator[UnitOfWork]:
    """A unit of work in which a worker's message about a job is carried out.

    One that is refused because its attempt has lost the job changes nothing, and is kept before it is answered.
    """
    try:
        with store.write() as uow:
            yield uow
    except LeaseLostError:
        with store.write() as uow:
            _keep(uow, identity, message)
        raise


def job_view(uow: UnitOfWork, identity: int) -> JobView:
    """Raises: NotFoundError."""
    job = uow.jobs.get(identity)
    if job is None:
        raise NotFoundError(f"there is no job {identity}")
    return JobView(
        id=job.id,
        study=uow.studies.name(job.study_id),
        trial=None if job.trial_id is None else uow.trials.get(job.trial_id).number,
        kind=job.kind,
        state=job.state,
        attempt=job.attempt,
        failures=job.failures,
        released=job.released,
        worker=job.worker,
        created_at=job.created_at,
        ended_at=job.ended_at,
        expires_at=job.expires_at,
        progress=job.progress,
        error=job.error,
        attempts=tuple(AttemptView.model_validate(row) for row in uow.attempts.of(identity)),
        refused=job.stale_writes,
        stale_writes=tuple(StaleWriteView.model_validate(row) for row in uow.attempts.stale(identity)),
    )


def _keep(uow: UnitOfWork, identity: int, message: Write) -> None:
    job = uow.jobs.lock(identity)
    if job is None:
        return
    granted = uow.attempts.get(identity, message.attempt) if 0 < message.attempt <= job.attempt else None
    write = StaleWrite(
        job_id=identity,
        attempt=max(-(2**63), min(message.attempt, 2**63 - 1)),
        call=type(message).__name__.lower(),
        worker=None if granted is None else granted.worker,
        state=job.state,
        job_attempt=job.attempt,
        said=message.model_dump_json()[:LONGEST],
        received_at=uow.now,
    )
    uow.attempts.refused(job, write)
