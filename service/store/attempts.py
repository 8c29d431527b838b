"""Attempts in the database: who had a job, for how long, and what was refused of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import Executable, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from protocol.jobs import AttemptEnd, JobKind, JobState
from service.store.inserting import insertion
from service.store.tables import Attempt, Job, StaleWrite, core_table

if TYPE_CHECKING:
    from service.store.jobs import Leased
    from service.store.reports import Distilling

MOST_STALE = 50
"""Refused writes that are kept of a job; of those before, only the count is known."""

DONE = (AttemptEnd.DONE, AttemptEnd.INFEASIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Machine time of one kind of job by one worker: the ended attempts' `seconds`, and how many jobs were `done`."""

    kind: JobKind
    worker: str
    seconds: float
    done: int


class AttemptRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, job: Leased, worker: str, request: str | None, now: datetime) -> bool:
        """Whether it was begun: False where this request was granted a job by a transaction at the same time."""
        values = {
            "job_id": job.id,
            "attempt": job.attempt,
            "study_id": job.study_id,
            "kind": job.kind,
            "worker": worker,
            "leased_at": now,
            "request": request,
        }
        connection = self._session.connection()
        return connection.execute(_beginning(connection.dialect.name), values).first() is not None

    def end(self, job: Job | Distilling, reason: AttemptEnd, now: datetime, message: str | None = None) -> None:
        """Ends the job's newest attempt, that began with its lease, unless it has ended."""
        began_at = job.leased_at or now
        values = {"of": job.id, "newest": job.attempt, "now": now, "why": reason, "words": message}
        self._session.connection().execute(_END, {**values, "took_s": _seconds(began_at, now)})

    def found_infeasible(self, job: Job) -> None:
        """Of the job's newest attempt, that is done."""
        self._session.connection().execute(_INFEASIBLE, {"of": job.id, "newest": job.attempt})

    def cancel(self, study: int, now: datetime) -> None:
        """Ends every running attempt of the study."""
        running = select(Attempt).where(Attempt.study_id == study, Attempt.ended_at.is_(None))
        for row in self._session.scalars(running):
            _end(row, AttemptEnd.CANCELLED, now, None)

    def get(self, job: int, attempt: int) -> Attempt | None:
        with self._session.no_autoflush:  # what was begun is there
            return self._session.get(Attempt, (job, attempt))

    def of(self, job: int) -> Sequence[Attempt]:
        """The job's attempts, the first one first."""
        return self._session.scalars(select(Attempt).where(Attempt.job_id == job).order_by(Attempt.attempt)).all()

    def spent(self, study: int) -> list[Spent]:
        """What the study's ended attempts took."""
        is_done = Attempt.reason.in_(DONE)
        statement = (
            select(Attempt.kind, Attempt.worker, func.sum(Attempt.seconds), func.count().filter(is_done))
            .where(Attempt.study_id == study, Attempt.ended_at.is_not(None))
            .group_by(Attempt.kind, Attempt.worker)
            .order_by(Attempt.kind, Attempt.worker)
        )
        return [
            Spent(kind=kind, worker=worker, seconds=seconds or 0.0, done=done)
            for kind, worker, seconds, done in self._session.execute(statement)
        ]

    def running(self, study: int) -> Sequence[Attempt]:
        """The study's attempts that have their jobs: after a restored backup some neither ended nor have them."""
        statement = (
            select(Attempt)
            .join(Job, (Job.id == Attempt.job_id) & (Job.attempt == Attempt.attempt))
            .where(Attempt.study_id == study, Attempt.ended_at.is_(None), Job.state == JobState.LEASED)
        )
        return self._session.scalars(statement.order_by(Attempt.job_id)).all()

    def refused(self, job: Job, write: StaleWrite) -> None:
        """Keeps a write that was refused, and the newest of those before. The job must be locked."""
        job.stale_writes += 1
        self._session.add(write)
        self._session.flush()
        kept = (
            select(StaleWrite.id).where(StaleWrite.job_id == job.id).order_by(StaleWrite.id.desc()).offset(MOST_STALE)
        )
        oldest = self._session.scalar(kept.limit(1))
        if oldest is not None:
            self._session.execute(delete(StaleWrite).where(StaleWrite.job_id == job.id, StaleWrite.id <= oldest))

    def stale(self, job: int) -> Sequence[StaleWrite]:
        """The newest writes that were refused, the oldest first."""
        return self._session.scalars(select(StaleWrite).where(StaleWrite.job_id == job).order_by(StaleWrite.id)).all()


_ATTEMPTS = core_table(Attempt)


@lru_cache(maxsize=2)
def _beginning(dialect: str) -> Executable:
    return (
        insertion(dialect, _ATTEMPTS)
        .on_conflict_do_nothing(index_elements=[_ATTEMPTS.c.request])
        .returning(_ATTEMPTS.c.job_id)
    )


_NEWEST = (_ATTEMPTS.c.job_id == bindparam("of")) & (_ATTEMPTS.c.attempt == bindparam("newest"))
_END = (
    update(_ATTEMPTS)
    .where(_NEWEST, _ATTEMPTS.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), reason=bindparam("why"), message=bindparam("words"), seconds=bindparam("took_s"))
)
_INFEASIBLE = update(_ATTEMPTS).where(_NEWEST).values(reason=AttemptEnd.INFEASIBLE)


def _end(row: Attempt, reason: AttemptEnd, now: datetime, message: str | None) -> None:
    row.ended_at, row.reason, row.message = now, reason, message
    row.seconds = _seconds(row.leased_at, now)


def _seconds(began_at: datetime, ended_at: datetime) -> float:
    return max(0.0, (ended_at - began_at).total_seconds())
