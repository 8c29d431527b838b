"""Jobs in the database: the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Connection,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.orm import Session

from protocol.jobs import CurvePoint, JobKind, JobState, Progress, Work
from protocol.targets import Target
from service.store.attempts import AttemptRepository
from service.store.lanes import MOST_COUNTED, ONE, Demand, Lane, Queue, fixed, lanes_of, queue_of
from service.store.tables import Job, Study, Trial, Worker, core_table

OPEN = (JobState.QUEUED, JobState.LEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A job that was just granted, with what its worker is told; `trial_id` is its trial's row, `trial` the number."""

    id: int
    attempt: int
    kind: JobKind
    study_id: int
    study: str
    trial_id: int | None
    trial: int | None
    expires_at: datetime
    work: Work
    checkpoint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A locked job, as far as a renewal asks: far less than there is of it.

    `trial` is its trial's number, `stops` whether it was decided to stop that early; `seen_at` is its worker's.
    """

    id: int
    attempt: int
    kind: JobKind
    state: JobState
    study_id: int
    trial: int | None
    stops: bool
    worker: str | None
    seen_at: datetime | None
    renewal: int
    progress: Progress | None
    checkpoint: str | None
    curve: tuple[CurvePoint, ...] | None


class JobRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def _connection(self) -> Connection:
        """For statements of rows that are no objects: making objects takes longer than reading rows."""
        return self._session.connection()

    def add(self, job: Job) -> None:
        self._session.add(job)

    def get(self, identity: int) -> Job | None:
        return self._session.get(Job, identity)

    def lock(self, identity: int) -> Job | None:
        """The job, for this transaction alone to change."""
        options = {"populate_existing": True}
        return self._session.scalars(_LOCKED, {"identity": identity}, execution_options=options).one_or_none()

    def hold(self, identity: int) -> Held | None:
        """Locks the job like `lock`, and reads what a renewal needs."""
        row = self._connection.execute(_HELD, {"identity": identity}).one_or_none()
        return None if row is None else Held(**row._mapping)

    def renew(
        self,
        held: Held,
        *,
        expires_at: datetime,
        renewal: int,
        progress: Progress | None,
        checkpoint: str | None,
        curve: tuple[CurvePoint, ...] | None,
    ) -> None:
        """Writes what is new of a job that is held."""
        values = {
            "identity": held.id,
            "until": expires_at,
            "newest": renewal,
            "done": progress,
            "saved": checkpoint,
            "learned": curve,
        }
        self._connection.execute(_RENEW, values)

    def lanes(self, kinds: Collection[JobKind]) -> list[Lane]:
        """Where jobs of these kinds wait, the one whose turn it is first.

        The turn is that of the study with the highest priority, among equals of the one with the fewest leased jobs,
        then of the oldest; in a study of the job that failed least often, then of the oldest. Each lane's first job is
        looked up by index, so that it does not matter how many wait behind it.
        """
        if not kinds:
            return []
        rows = self._connection.execute(lanes_of(tuple(sorted(set(kinds))), of_one=False))
        return [Lane(**row._mapping) for row in rows]

    def queue(self, kinds: Collection[JobKind], now: datetime, study: int | None = None) -> Queue:
        """The lanes, of one study if it is named, and whether leases are to be swept first."""
        if not kinds:
            return Queue(lanes=[], is_overdue=False)
        statement = queue_of(tuple(sorted(set(kinds))), of_one=study is not None)
        values = {"now": now} if study is None else {"now": now, "study": study}
        rows = self._connection.execute(statement, values).all()
        lanes = [
            Lane(study_id=study_id, kind=kind, target=target, hardware_key=key)
            for _, study_id, kind, target, key in rows
            if study_id is not None
        ]
        return Queue(lanes=lanes, is_overdue=rows[0].overdue)

    def lease(
        self,
        lanes: Sequence[Lane],
        kinds: Collection[JobKind],
        targets: Collection[Target],
        *,
        worker: str,
        now: datetime,
        expires_at: datetime,
    ) -> Leased | None:
        """Grants the suitable job whose turn it is: one conditional update, so that no job is granted twice.

        Which lanes are suitable is judged here and not in SQL: there are few, however many jobs. A job that another
        transaction is just granting is left to it (SQLite, which has one writer anyway, has none), so that of workers
        that ask at the same instant some may be given a job of the study whose turn was next.
        """
        for lane in lanes:
            if lane.suits(kinds, targets):
                values = {
                    "in_study": lane.study_id,
                    "of_kind": lane.kind,
                    "to": worker,
                    "now": now,
                    "until": expires_at,
                }
                row = self._connection.execute(_GRANT, values).one_or_none()
                if row is not None:
                    return Leased(**row._mapping)
        return None

    def demands(self) -> list[Demand]:
        """What waits, lane by lane. What lies behind the first `MOST_COUNTED` jobs of a lane is not looked at."""
        return [Demand(lane=lane, count=self._waiting(lane)) for lane in self.lanes(tuple(JobKind))]

    def _waiting(self, lane: Lane) -> int:
        some = (
            select(Job.id)
            .where(Job.study_id == lane.study_id, Job.state == JobState.QUEUED, Job.kind == lane.kind)
            .limit(MOST_COUNTED)
            .subquery()
        )
        return self._session.scalar(select(func.count()).select_from(some)) or 0

    def expired(self, now: datetime) -> Sequence[tuple[int, int]]:
        """(study, job) of every lease that ended unrenewed."""
        statement = (
            select(Job.study_id, Job.id)
            .where(Job.state == JobState.LEASED, Job.expires_at <= now)
            .order_by(Job.study_id, Job.id)
        )
        return [(study, job) for study, job in self._session.execute(statement)]

    def open(self, study: int) -> Sequence[Job]:
        """The queued and leased jobs of the study, the oldest first."""
        statement = select(Job).where(Job.study_id == study, Job.state.in_(OPEN)).order_by(Job.id)
        return self._session.scalars(statement).all()

    def of_trial(self, trial: int, kind: JobKind) -> Job | None:
        """The trial's newest job of this kind."""
        statement = select(Job).where(Job.trial_id == trial, Job.kind == kind).order_by(Job.id.desc()).limit(1)
        return self._session.scalars(statement).one_or_none()

    def leased_by(self, workers: Collection[str]) -> Sequence[Job]:
        """What these workers are busy with."""
        statement = select(Job).where(Job.state == JobState.LEASED, Job.worker.in_(workers))
        return self._session.scalars(statement.order_by(Job.id)).all()

    def cancel(self, study: int, now: datetime) -> None:
        """Ends every open job of the study; whoever works on one learns it when renewing."""
        self._session.execute(
            update(Job)
            .where(Job.study_id == study, Job.state.in_(OPEN))
            .values(state=JobState.CANCELLED, ended_at=now),
            execution_options={"synchronize_session": "fetch"},
        )
        AttemptRepository(self._session).cancel(study, now)  # behind the jobs, the order in which a release locks them


# Statements of every call of a worker are made once: making one takes longer than the database does to answer it.

_LOCKED = select(Job).where(Job.id == bindparam("identity")).with_for_update()

_JOBS, _TRIALS, _STUDIES, _WORKERS = (core_table(each).c for each in (Job, Trial, Study, Worker))

_HELD = (
    select(
        _JOBS.id,
        _JOBS.attempt,
        _JOBS.kind,
        _JOBS.state,
        _JOBS.study_id,
        _TRIALS.number.label("trial"),
        (_TRIALS.early_stop.is_not(None) & (_JOBS.kind == JobKind.DISTILL)).label("stops"),
        _JOBS.worker,
        _WORKERS.seen_at,
        _JOBS.renewal,
        _JOBS.progress,
        _JOBS.checkpoint,
        _JOBS.curve,
    )
    .select_from(core_table(Job))
    .outerjoin(core_table(Trial), _TRIALS.id == _JOBS.trial_id)
    .outerjoin(core_table(Worker), _WORKERS.name == _JOBS.worker)
    .where(_JOBS.id == bindparam("identity"))
    .with_for_update(of=core_table(Job))
)
_RENEW = (
    update(core_table(Job))
    .where(_JOBS.id == bindparam("identity"))
    .values(
        expires_at=bindparam("until"),
        renewal=bindparam("newest"),
        progress=bindparam("done"),
        checkpoint=bindparam("saved"),
        curve=bindparam("learned"),
    )
)

_first = core_table(Job).alias().c
_FIRST = (
    select(_first.id)
    .where(
        _first.study_id == bindparam("in_study"),
        _first.state == fixed(JobState.QUEUED),
        _first.kind == bindparam("of_kind"),
    )
    .order_by(_first.failures, _first.id)
    .limit(ONE)
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_GRANT = (
    update(core_table(Job))
    .where(_JOBS.id == _FIRST, _JOBS.state == JobState.QUEUED)
    .values(
        state=JobState.LEASED,
        attempt=_JOBS.attempt + 1,
        worker=bindparam("to"),
        leased_at=bindparam("now"),
        expires_at=bindparam("until"),
        progress=None,
        renewal=0,
    )
    .returning(
        _JOBS.id,
        _JOBS.attempt,
        _JOBS.kind,
        _JOBS.study_id,
        select(_STUDIES.name).where(_STUDIES.id == _JOBS.study_id).scalar_subquery().label("study"),
        _JOBS.trial_id,
        select(_TRIALS.number).where(_TRIALS.id == _JOBS.trial_id).scalar_subquery().label("trial"),
        _JOBS.expires_at,
        _JOBS.work,
        _JOBS.checkpoint,
    )
)
