"""Studies in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protocol.jobs import JobState
from protocol.study import StudySpec
from protocol.views import StudyState
from service.errors import NotFoundError
from service.store.tables import Job, MeasurementRole, MeasurementRow, Study, Table


class StudyRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, study: Study) -> bool:
        """Whether it was added: False where the name is taken, also by a transaction that runs at the same time."""
        try:
            with self._session.begin_nested():
                self._session.add(study)
        except IntegrityError:
            return False
        return True

    def restart(self, study: Study, spec: StudySpec, now: datetime) -> None:
        """Makes the study as one that was just added.

        Its row and its ended jobs stay: their numbers fence whoever still works for it. SQLite would give them again.
        """
        self._session.execute(delete(MeasurementRow).where(MeasurementRow.study_id == study.id))
        study.spec, study.digest, study.priority = spec, spec.digest, spec.priority
        study.state, study.created_at, study.ended_at = StudyState.PREPARING, now, None
        study.prepared = study.error = study.failure = study.hardware_key = None
        study.reference = dict(spec.reference) or None
        study.notes = ()
        study.stopped_from = study.stopped_at = None

    def names(self) -> Sequence[str]:
        return self._session.scalars(select(Study.name)).all()

    def find(self, name: str) -> Study | None:
        return self._session.scalars(select(Study).where(Study.name == name)).one_or_none()

    def get(self, identity: int) -> Study:
        """Raises: NotFoundError: it was deleted meanwhile."""
        study = self._session.get(Study, identity)
        if study is None:
            raise NotFoundError("the study was deleted")
        return study

    def name(self, identity: int) -> str:
        """Without reading all that is known of the study."""
        return self._session.execute(select(Study.name).where(Study.id == identity)).scalar_one()

    def names_of(self, identities: Collection[int]) -> dict[int, str]:
        rows = self._session.execute(select(Study.id, Study.name).where(Study.id.in_(identities))) if identities else ()
        return {row[0]: row[1] for row in rows}

    def lock(self, identity: int) -> Study:
        """The study, for this transaction alone to change: what follows from two reports follows one by one.

        Raises:
            NotFoundError: it was deleted meanwhile.
        """
        statement = select(Study).where(Study.id == identity).with_for_update(key_share=True)
        study = self._session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
        if study is None:
            raise NotFoundError("the study was deleted")
        return study

    def lock_of(self, job: int) -> Study | None:
        """The study that the job is of, locked; None where there is no such job."""
        options = {"populate_existing": True}
        return self._session.scalars(_LOCKED_OF, {"job": job}, execution_options=options).one_or_none()

    def cancelled_jobs(self, study: Study) -> Sequence[Job]:
        """The jobs that were open when the study was stopped, the oldest first."""
        of_stop = (Job.state == JobState.CANCELLED, Job.ended_at == study.stopped_at)
        return self._session.scalars(select(Job).where(Job.study_id == study.id, *of_stop).order_by(Job.id)).all()

    def delete(self, study: Study) -> None:
        """Removes the study and every row that refers to it, or to what refers to it."""
        tables = [table for table in reversed(Table.metadata.sorted_tables) if table is not Study.__table__]
        for table in tables:
            if (belongs := _belonging(table, study.id)) is not None:
                self._session.execute(delete(table).where(belongs))
        self._session.execute(delete(Study).where(Study.id == study.id), execution_options=_NO_SYNC)

    def all(self) -> Sequence[Study]:
        """Every study, the newest first."""
        return self._session.scalars(select(Study).order_by(Study.created_at.desc(), Study.id.desc())).all()

    def page(
        self, after: tuple[datetime, int] | None, limit: int, name: str = "", states: Sequence[StudyState] = ()
    ) -> Sequence[Study]:
        """The newest studies; those that follow on the one with this (created_at, id).

        Only those with this text in their name, and in one of these states, where such are given.
        """
        statement = select(Study).order_by(Study.created_at.desc(), Study.id.desc()).limit(limit)
        if name:
            statement = statement.where(Study.name.contains(name.lower(), autoescape=True))
        if states:
            statement = statement.where(Study.state.in_(states))
        if after is not None:
            created_at, identity = after
            same = and_(Study.created_at == created_at, Study.id < identity)
            statement = statement.where(or_(Study.created_at < created_at, same))
        return self._session.scalars(statement).all()

    def in_states(self, *states: StudyState) -> Sequence[Study]:
        return self._session.scalars(select(Study).where(Study.state.in_(states)).order_by(Study.id)).all()

    def lease_suggester(self, identity: int, holder: str, now: datetime, lease_s: float) -> int | None:
        """The fencing number with which `holder` may choose trials for the study; None where somebody else does."""
        free = or_(Study.suggester_expires_at.is_(None), Study.suggester_expires_at <= now)
        statement = (
            update(Study)
            .where(Study.id == identity, Study.state == StudyState.SEARCHING, free)
            .values(
                suggester=holder,
                suggester_attempt=Study.suggester_attempt + 1,
                suggester_expires_at=now + timedelta(seconds=lease_s),
            )
            .returning(Study.suggester_attempt)
        )
        return self._session.execute(statement, execution_options=_NO_SYNC).scalar_one_or_none()

    def renew_suggester(self, identity: int, attempt: int, expires_at: datetime | None) -> bool:
        """Whether the lease is still this attempt's; if so it now ends at `expires_at`, or at once without one."""
        statement = (
            update(Study)
            .where(Study.id == identity, Study.suggester_attempt == attempt, Study.suggester_expires_at.is_not(None))
            .values(suggester_expires_at=expires_at)
            .returning(Study.id)
        )
        return self._session.execute(statement, execution_options=_NO_SYNC).first() is not None

    def suggested(self, identity: int, seconds: float) -> None:
        """Remembers how long the study's strategy took."""
        statement = (
            update(Study)
            .where(Study.id == identity)
            .values(suggestions=Study.suggestions + 1, suggesting_s=Study.suggesting_s + seconds)
        )
        self._session.execute(statement, execution_options=_NO_SYNC)

    def add_measurement(self, row: MeasurementRow) -> None:
        self._session.add(row)

    def references(self, identity: int) -> Sequence[MeasurementRow]:
        """The measured references of the study, the oldest first."""
        return self._session.scalars(
            select(MeasurementRow)
            .where(MeasurementRow.study_id == identity, MeasurementRow.role == MeasurementRole.REFERENCE)
            .order_by(MeasurementRow.id)
        ).all()

    def hardware(self) -> list[tuple[str, str]]:
        """(hardware key, name) of every study that has measured, by name."""
        statement = select(Study.hardware_key, Study.name).where(Study.hardware_key.is_not(None)).order_by(Study.name)
        return [(key, name) for key, name in self._session.execute(statement) if key is not None]

    def newest_references(self, hardware_keys: Collection[str]) -> dict[str, MeasurementRow]:
        """By hardware key, the last reference that was measured on such hardware."""
        last = (
            select(Study.hardware_key, func.max(MeasurementRow.id).label("id"))
            .join(Study, Study.id == MeasurementRow.study_id)
            .where(Study.hardware_key.in_(hardware_keys), MeasurementRow.role == MeasurementRole.REFERENCE)
            .group_by(Study.hardware_key)
            .subquery()
        )
        statement = select(last.c.hardware_key, MeasurementRow).join(last, last.c.id == MeasurementRow.id)
        return {row[0]: row[1] for row in self._session.execute(statement)}


_NO_SYNC = {"synchronize_session": False}

_LOCKED_OF = (
    select(Study)
    .where(Study.id == select(Job.study_id).where(Job.id == bindparam("job")).scalar_subquery())
    .with_for_update(key_share=True)
)


def _belonging(table: FromClause, study: int) -> ColumnElement[bool] | None:
    """Which rows of the table refer to the study, also by way of other tables; None if none can."""
    for column in table.columns:
        for key in column.foreign_keys:
            owner = key.column.table
            if owner is Study.__table__:
                return column == study
            inner = _belonging(owner, study)
            if inner is not None:
                return column.in_(select(key.column).where(inner))
    return None
