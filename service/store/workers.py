"""Workers in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import JSON, Select, func, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from protocol.jobs import JobKind
from protocol.targets import Target
from service.store.tables import Job, ReadingRow, Worker


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def seen(self, name: str, kinds: tuple[JobKind, ...], targets: tuple[Target, ...], now: datetime) -> None:
        """Remembers that the worker asked, and for what."""
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        values = {"kinds": kinds, "targets": targets, "seen_at": now}
        statement = insert(Worker).values(name=name, **values)
        self._session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=values))

    def renewed(self, job: int, now: datetime) -> None:
        """Remembers that whoever has, or had, this job is alive."""
        name = select(Job.worker).where(Job.id == job).scalar_subquery()
        statement = update(Worker).where(Worker.name == name).values(seen_at=now)
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def add_reading(self, reading: ReadingRow) -> None:
        self._session.add(reading)

    def newest_readings(self, workers: Collection[str]) -> Sequence[ReadingRow]:
        """Of each of these workers the last undisturbed reading of each target and hardware key."""
        last = (
            select(func.max(ReadingRow.id))
            .where(ReadingRow.worker.in_(workers), ReadingRow.disturbed.is_(False))
            .group_by(ReadingRow.worker, ReadingRow.target, ReadingRow.hardware_key)
        )
        return self._readings(last)

    def newest_readings_on(self, hardware_keys: Collection[str]) -> Sequence[ReadingRow]:
        """Of each of these kinds of hardware the last undisturbed reading of each target, whoever took it."""
        last = (
            select(func.max(ReadingRow.id))
            .where(ReadingRow.hardware_key.in_(hardware_keys), ReadingRow.disturbed.is_(False))
            .group_by(ReadingRow.target, ReadingRow.hardware_key)
        )
        return self._readings(last)

    def earlier_s(self, readings: Collection[ReadingRow], most: int) -> dict[int, list[float]]:
        """By reading, the last undisturbed ones before it of the same target on the same hardware, whoever took them.

        One statement for all of them: each is told as a list that the database made.
        """
        if not readings:
            return {}
        newest = aliased(ReadingRow)
        before = (
            select(ReadingRow.p50_s)
            .where(
                ReadingRow.id < newest.id,
                ReadingRow.target == newest.target,
                ReadingRow.hardware_key == newest.hardware_key,
                ReadingRow.disturbed.is_(False),
            )
            .order_by(ReadingRow.id.desc())
            .limit(most)
            .correlate(newest)
            .subquery()
        )
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        listed = (func.json_group_array if is_sqlite else func.json_agg)(before.c.p50_s)
        told = select(type_coerce(listed, JSON)).correlate(newest).scalar_subquery()
        statement = select(newest.id, told).where(newest.id.in_([reading.id for reading in readings]))
        return {identity: found or [] for identity, found in self._session.execute(statement)}

    def all(self) -> Sequence[Worker]:
        return self._session.scalars(select(Worker).order_by(Worker.name)).all()

    def page(self, after: str | None, limit: int) -> Sequence[Worker]:
        """By name; those that follow on this one."""
        statement = select(Worker).order_by(Worker.name).limit(limit)
        return self._session.scalars(statement if after is None else statement.where(Worker.name > after)).all()

    def alive(self, since: datetime) -> Sequence[Worker]:
        """Who was seen after this instant."""
        return self._session.scalars(select(Worker).where(Worker.seen_at >= since).order_by(Worker.name)).all()

    def _readings(self, identities: Select[int]) -> Sequence[ReadingRow]:
        statement = select(ReadingRow).where(ReadingRow.id.in_(identities)).order_by(ReadingRow.target, ReadingRow.id)
        return self._session.scalars(statement).all()
