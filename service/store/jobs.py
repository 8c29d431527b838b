"""Jobs in the database: the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from protocol.jobs import JobKind, JobState
from protocol.targets import Need, Target
from service.store.tables import Job

OPEN = (JobState.QUEUED, JobState.LEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """So many queued jobs of one kind, that need the same of their machine."""

    kind: JobKind
    target: str | None
    hardware_key: str | None
    count: int

    def suits(self, kinds: Collection[JobKind], targets: Collection[Target]) -> bool:
        """Whether somebody who can do these kinds, and measure these targets, could take such a job."""
        return self.kind in kinds and (
            self.target is None or serves(targets, Need.parse(self.target), self.hardware_key)
        )


def serves(targets: Collection[Target], need: Need, hardware_key: str | None) -> bool:
    """Whether one of the targets is what is needed, on this hardware if one is named."""
    return any(target.serves(need, hardware_key) for target in targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """How many jobs of a kind are done, and how long their last attempts took on average."""

    count: int
    mean_s: float


class JobRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job) -> None:
        self._session.add(job)

    def get(self, identity: int) -> Job | None:
        return self._session.get(Job, identity)

    def lock(self, identity: int) -> Job | None:
        """The job, for this transaction alone to change."""
        statement = select(Job).where(Job.id == identity).with_for_update()
        return self._session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()

    def lease(
        self,
        kinds: Collection[JobKind],
        targets: Collection[Target],
        *,
        worker: str,
        now: datetime,
        expires_at: datetime,
    ) -> Job | None:
        """Grants the oldest suitable job: one conditional update, so that no job is granted twice.

        Which are suitable is judged here and not in SQL: they differ in few needs, however many they are. SKIP LOCKED
        only keeps two workers from waiting for one another; SQLite, which has one writer anyway, leaves it out.
        """
        suited = [demand for demand in self.demands() if demand.suits(kinds, targets)]
        if not suited:
            return None
        oldest = (
            select(Job.id)
            .where(Job.state == JobState.QUEUED, _among(suited))
            .order_by(Job.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(Job)
            .where(Job.id == oldest, Job.state == JobState.QUEUED)
            .values(
                state=JobState.LEASED,
                attempt=Job.attempt + 1,
                worker=worker,
                leased_at=now,
                expires_at=expires_at,
                progress=None,
            )
            .returning(Job)
        )
        options = {"synchronize_session": False, "populate_existing": True}
        return self._session.scalars(statement, execution_options=options).one_or_none()

    def demands(self) -> list[Demand]:
        """What is queued, by kind and target."""
        statement = (
            select(Job.kind, Job.target, Job.hardware_key, func.count())
            .where(Job.state == JobState.QUEUED)
            .group_by(Job.kind, Job.target, Job.hardware_key)
        )
        return [
            Demand(kind=kind, target=target, hardware_key=key, count=count)
            for kind, target, key, count in self._session.execute(statement)
        ]

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

    def leased_by(self, worker: str) -> Sequence[Job]:
        """What this worker is busy with."""
        statement = select(Job).where(Job.state == JobState.LEASED, Job.worker == worker)
        return self._session.scalars(statement.order_by(Job.id)).all()

    def cancel(self, study: int, now: datetime) -> None:
        """Ends every open job of the study; whoever works on one learns it when renewing."""
        self._session.execute(
            update(Job)
            .where(Job.study_id == study, Job.state.in_(OPEN))
            .values(state=JobState.CANCELLED, ended_at=now),
            execution_options={"synchronize_session": "fetch"},
        )

    def spent(self, study: int) -> dict[JobKind, Spent]:
        """What the study's done jobs took, by kind."""
        rows = self._session.execute(
            select(Job.kind, Job.leased_at, Job.ended_at).where(Job.study_id == study, Job.state == JobState.DONE)
        )
        durations: dict[JobKind, list[float]] = {}
        for kind, leased_at, ended_at in rows:
            if leased_at is not None and ended_at is not None:
                durations.setdefault(kind, []).append((ended_at - leased_at).total_seconds())
        return {kind: Spent(count=len(took), mean_s=sum(took) / len(took)) for kind, took in durations.items()}


def _among(demands: Collection[Demand]) -> ColumnElement[bool]:
    return or_(
        *(
            and_(Job.kind == demand.kind, Job.target == demand.target, Job.hardware_key == demand.hardware_key)
            for demand in demands
        )
    )
