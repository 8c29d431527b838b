"""Jobs in the database: the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import ColumnElement, Select, Subquery, bindparam, func, literal, select, union_all, update
from sqlalchemy.orm import Session, aliased

from protocol.jobs import JobKind, JobState
from protocol.targets import Need, Target
from protocol.views import StudyState
from service.store.attempts import AttemptRepository
from service.store.tables import Job, Study

OPEN = (JobState.QUEUED, JobState.LEASED)
ACTIVE = (StudyState.PREPARING, StudyState.CALIBRATING, StudyState.SEARCHING, StudyState.FINALIZING)
"""The states of a study in which its jobs are given out."""

MOST_COUNTED = 100
"""So many jobs of a lane are told from none; how many more there are changes nothing for those who wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The queued jobs of one kind of one study: they need the same of their machine."""

    study: int
    kind: JobKind
    target: str | None
    hardware_key: str | None

    def suits(self, kinds: Collection[JobKind], targets: Collection[Target]) -> bool:
        """Whether somebody who can do these kinds, and measure these targets, could take such a job."""
        return self.kind in kinds and (
            self.target is None or serves(targets, Need.parse(self.target), self.hardware_key)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A lane, and how many jobs wait in it: `MOST_COUNTED` are that many or more."""

    lane: Lane
    count: int


def serves(targets: Collection[Target], need: Need, hardware_key: str | None) -> bool:
    """Whether one of the targets is what is needed, on this hardware if one is named."""
    return any(target.serves(need, hardware_key) for target in targets)


class JobRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job) -> None:
        self._session.add(job)

    def get(self, identity: int) -> Job | None:
        return self._session.get(Job, identity)

    def study(self, identity: int) -> int | None:
        """Whose job it is, without reading the job."""
        return self._session.scalar(select(Job.study_id).where(Job.id == identity))

    def lock(self, identity: int) -> Job | None:
        """The job, for this transaction alone to change."""
        options = {"populate_existing": True}
        return self._session.scalars(_LOCKED, {"identity": identity}, execution_options=options).one_or_none()

    def lanes(self, kinds: Collection[JobKind], study: int | None = None) -> list[Lane]:
        """Where jobs of these kinds wait, the one whose turn it is first; of one study, if it is named.

        The turn is that of the study with the highest priority, among equals of the one with the fewest leased jobs,
        then of the oldest; in a study of the job that failed least often, then of the oldest. Each lane's first job is
        looked up by index, so that it does not matter how many wait behind it.
        """
        if not kinds:
            return []
        statement = _lanes(tuple(sorted(set(kinds))), of_one=study is not None)
        return [
            Lane(study=study_id, kind=kind, target=target, hardware_key=key)
            for study_id, kind, target, key in self._session.execute(
                statement, {} if study is None else {"study": study}
            )
        ]

    def lease(
        self,
        kinds: Collection[JobKind],
        targets: Collection[Target],
        *,
        worker: str,
        now: datetime,
        expires_at: datetime,
        study: int | None = None,
    ) -> Job | None:
        """Grants the suitable job whose turn it is: one conditional update, so that no job is granted twice.

        Which lanes are suitable is judged here and not in SQL: there are few, however many jobs. A job that another
        transaction is just granting is left to it (SQLite, which has one writer anyway, has none), so that of workers
        that ask at the same instant some may be given a job of the study whose turn was next.
        """
        for lane in self.lanes(kinds, study):
            if lane.suits(kinds, targets):
                job = self._grant(lane, worker, now, expires_at)
                if job is not None:
                    return job
        return None

    def _grant(self, lane: Lane, worker: str, now: datetime, expires_at: datetime) -> Job | None:
        values = {"in_study": lane.study, "of_kind": lane.kind, "to": worker, "now": now, "until": expires_at}
        options = {"synchronize_session": False, "populate_existing": True}
        return self._session.scalars(_GRANT, values, execution_options=options).one_or_none()

    def demands(self) -> list[Demand]:
        """What waits, lane by lane. What lies behind the first `MOST_COUNTED` jobs of a lane is not looked at."""
        return [Demand(lane=lane, count=self._waiting(lane)) for lane in self.lanes(tuple(JobKind))]

    def _waiting(self, lane: Lane) -> int:
        some = (
            select(Job.id)
            .where(Job.study_id == lane.study, Job.state == JobState.QUEUED, Job.kind == lane.kind)
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

_FIRST = (
    select(Job.id)
    .where(Job.study_id == bindparam("in_study"), Job.state == JobState.QUEUED, Job.kind == bindparam("of_kind"))
    .order_by(Job.failures, Job.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_GRANT = (
    update(Job)
    .where(Job.id == _FIRST, Job.state == JobState.QUEUED)
    .values(
        state=JobState.LEASED,
        attempt=Job.attempt + 1,
        worker=bindparam("to"),
        leased_at=bindparam("now"),
        expires_at=bindparam("until"),
        progress=None,
        renewal=0,
    )
    .returning(Job)
)


@lru_cache(maxsize=64)
def _lanes(kinds: tuple[JobKind, ...], *, of_one: bool) -> Select[int, JobKind, str | None, str | None]:
    """Of these kinds; `of_one` study, the parameter `study`, or of all."""
    heads = _heads(kinds, of_one=of_one)
    head, busy = aliased(Job), _busy()
    return (
        select(head.study_id, head.kind, head.target, head.hardware_key)
        .join(heads, heads.c.job == head.id)
        .join(Study, Study.id == head.study_id)
        .outerjoin(busy, busy.c.study_id == head.study_id)
        .order_by(
            Study.priority.desc(),
            func.coalesce(busy.c.leased, 0),
            Study.created_at,
            Study.id,
            head.failures,
            head.id,
        )
    )


def _heads(kinds: tuple[JobKind, ...], *, of_one: bool) -> Subquery:
    """The first job of each lane."""
    named = union_all(*(select(literal(str(kind)).label("kind")) for kind in kinds)).subquery()
    first = aliased(Job)
    job = (
        select(first.id)
        .where(first.study_id == Study.id, first.state == JobState.QUEUED, first.kind == named.c.kind)
        .order_by(first.failures, first.id)
        .limit(1)
        .correlate(Study, named)
        .scalar_subquery()
    )
    wanted: ColumnElement[bool] = Study.state.in_(ACTIVE)
    if of_one:
        wanted = wanted & (Study.id == bindparam("study"))
    return select(job.label("job")).select_from(Study).join(named, literal(True)).where(wanted).subquery()


def _busy() -> Subquery:
    """How many jobs of each study are leased; fewer than there are workers."""
    return (
        select(Job.study_id, func.count().label("leased"))
        .where(Job.state == JobState.LEASED)
        .group_by(Job.study_id)
        .subquery()
    )
