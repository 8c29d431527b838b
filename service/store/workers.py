"""Workers in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from protocol.jobs import JobKind
from protocol.targets import Target
from service.store.inserting import inserting
from service.store.tables import Job, ReadingRow, Worker


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def seen(self, name: str, kinds: tuple[JobKind, ...], targets: tuple[Target, ...], now: datetime) -> None:
        """Remembers that the worker asked, and for what."""
        values = {"kinds": kinds, "targets": targets, "seen_at": now}
        statement = inserting(self._session, Worker).values(name=name, **values)
        self._session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=values))

    def renewed(self, job: int, now: datetime) -> None:
        """Remembers that whoever has, or had, this job is alive."""
        name = select(Job.worker).where(Job.id == job).scalar_subquery()
        statement = update(Worker).where(Worker.name == name).values(seen_at=now)
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def add_reading(self, reading: ReadingRow) -> None:
        self._session.add(reading)

    def newest_readings(self, worker: str) -> Sequence[ReadingRow]:
        """The worker's last undisturbed reading of each target and hardware key."""
        last = (
            select(func.max(ReadingRow.id))
            .where(ReadingRow.worker == worker, ReadingRow.disturbed.is_(False))
            .group_by(ReadingRow.target, ReadingRow.hardware_key)
        )
        statement = select(ReadingRow).where(ReadingRow.id.in_(last)).order_by(ReadingRow.target, ReadingRow.id)
        return self._session.scalars(statement).all()

    def readings_before(self, reading: ReadingRow, most: int) -> Sequence[ReadingRow]:
        """The undisturbed ones of the same target on the same hardware, whoever took them; the last ones first."""
        statement = (
            select(ReadingRow)
            .where(
                ReadingRow.id < reading.id,
                ReadingRow.target == reading.target,
                ReadingRow.hardware_key == reading.hardware_key,
                ReadingRow.disturbed.is_(False),
            )
            .order_by(ReadingRow.id.desc())
            .limit(most)
        )
        return self._session.scalars(statement).all()

    def all(self) -> Sequence[Worker]:
        return self._session.scalars(select(Worker).order_by(Worker.name)).all()

    def page(self, after: str | None, limit: int) -> Sequence[Worker]:
        """By name; those that follow on this one."""
        statement = select(Worker).order_by(Worker.name).limit(limit)
        return self._session.scalars(statement if after is None else statement.where(Worker.name > after)).all()

    def alive(self, since: datetime) -> Sequence[Worker]:
        """Who was seen after this instant."""
        return self._session.scalars(select(Worker).where(Worker.seen_at >= since).order_by(Worker.name)).all()
