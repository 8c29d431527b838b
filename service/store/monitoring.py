"""What the operators of a service want to see of its database: a few counts, each from an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from protocol.jobs import JobKind, JobState
from protocol.views import StudyState
from service.store.jobs import OPEN
from service.store.tables import ArtefactRow, Job, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJobs:
    """So many queued or leased jobs of one kind, in studies of one state."""

    kind: JobKind
    state: JobState
    study_state: StudyState
    count: int
    queued_at: datetime
    """When the oldest of them came into being."""
    leased_at: datetime | None
    expires_at: datetime | None
    """When the first of their leases ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJobs:
    kind: JobKind
    state: JobState
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggesting:
    """How often strategies were asked, and how long they took for it altogether."""

    count: int
    seconds: float


class MonitoringRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def revision(self) -> str | None:
        """Which migration the database is at; also tells that it answers."""
        row = self._session.execute(text("SELECT version_num FROM alembic_version")).first()
        return None if row is None else str(row[0])

    def open_jobs(self) -> list[OpenJobs]:
        statement = (
            select(
                Job.kind,
                Job.state,
                Study.state,
                func.count(),
                func.min(Job.created_at),
                func.min(Job.leased_at),
                func.min(Job.expires_at),
            )
            .join(Study, Study.id == Job.study_id)
            .where(Job.state.in_(OPEN))
            .group_by(Job.kind, Job.state, Study.state)
        )
        return [
            OpenJobs(
                kind=kind,
                state=state,
                study_state=study_state,
                count=count,
                queued_at=queued_at,
                leased_at=leased_at if state is JobState.LEASED else None,
                expires_at=expires_at if state is JobState.LEASED else None,
            )
            for kind, state, study_state, count, queued_at, leased_at, expires_at in self._session.execute(statement)
        ]

    def first_open_job(self) -> int | None:
        """The lowest number of a job that has not ended."""
        return self._session.scalar(select(func.min(Job.id)).where(Job.state.in_(OPEN)))

    def last_job(self) -> int:
        return self._session.scalar(select(func.max(Job.id))) or 0

    def ended_jobs(self, first: int, last: int) -> list[EndedJobs]:
        """Those that have ended, with numbers from `first` to `last`."""
        statement = (
            select(Job.kind, Job.state, func.count())
            .where(Job.id >= first, Job.id <= last, Job.state.not_in(OPEN))
            .group_by(Job.kind, Job.state)
        )
        return [
            EndedJobs(kind=kind, state=state, count=count) for kind, state, count in self._session.execute(statement)
        ]

    def studies(self) -> Sequence[tuple[StudyState, int]]:
        statement = select(Study.state, func.count()).group_by(Study.state)
        return [(state, count) for state, count in self._session.execute(statement)]

    def suggesting(self) -> Suggesting:
        count, seconds = self._session.execute(
            select(func.coalesce(func.sum(Study.suggestions), 0), func.coalesce(func.sum(Study.suggesting_s), 0.0))
        ).one()
        return Suggesting(count=count, seconds=seconds)

    def artefacts(self) -> tuple[int, int]:
        """How many there are, and their bytes."""
        count, size_bytes = self._session.execute(
            select(func.count(), func.coalesce(func.sum(ArtefactRow.size_bytes), 0)).select_from(ArtefactRow)
        ).one()
        return count, int(size_bytes)
