"""Workers in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import JSON, Select, String, bindparam, func, literal, select, type_coerce, update
from sqlalchemy.orm import Session, aliased

from protocol.jobs import JobKind
from protocol.targets import Target
from service.store.inserting import inserting
from service.store.tables import Attempt, ReadingRow, Worker, core_table

NOTED_EVERY = timedelta(seconds=15)
"""When a worker was last seen is written down no more often: that says little more, and costs more than it says."""


def is_due(seen_at: datetime | None, now: datetime) -> bool:
    """Whether it is to be written down that a worker is seen now; `seen_at` is what is written."""
    return seen_at is None or not timedelta() <= now - seen_at < NOTED_EVERY


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is known of a worker that asks, None without it, and the lease that its request was granted before."""

    kinds: tuple[JobKind, ...] | None
    targets: tuple[Target, ...] | None
    seen_at: datetime | None
    job: int | None
    attempt: int | None
    worker: str | None


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def asks(self, name: str, request: str | None) -> Asking:
        """Who asks, and what this request was granted before."""
        row = self._session.connection().execute(_ASKING, {"who": name, "request": request}).one()
        return Asking(**row._mapping)

    def seen(self, name: str, kinds: tuple[JobKind, ...], targets: tuple[Target, ...], now: datetime) -> None:
        """Remembers that the worker asked, and for what."""
        values = {"kinds": kinds, "targets": targets, "seen_at": now}
        statement = inserting(self._session, Worker).values(name=name, **values)
        self._session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=values))

    def renewed(self, name: str, now: datetime) -> None:
        """Remembers that the worker is alive. Whoever has its row at the moment says the same: nobody waits."""
        self._session.connection().execute(_RENEWED, {"who": name, "now": now})

    def add_reading(self, reading: ReadingRow) -> None:
        self._session.add(reading)

    def newest_readings(self, workers: Collection[str], since: datetime) -> Sequence[ReadingRow]:
        """Of each of these workers the last undisturbed reading of each target, of those that were taken after this
        instant. What its machine was before, under another hardware key, tells nothing of it now.
        """
        last = (
            select(func.max(ReadingRow.id))
            .where(ReadingRow.worker.in_(workers), ReadingRow.disturbed.is_(False), ReadingRow.measured_at > since)
            .group_by(ReadingRow.worker, ReadingRow.target)
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


_WORKERS = core_table(Worker)
_ATTEMPTS = core_table(Attempt)
_one = select(literal(1)).subquery()
_ASKING = select(
    _WORKERS.c.kinds,
    _WORKERS.c.targets,
    _WORKERS.c.seen_at,
    _ATTEMPTS.c.job_id.label("job"),
    _ATTEMPTS.c.attempt,
    _ATTEMPTS.c.worker,
).select_from(
    _one.outerjoin(_WORKERS, _WORKERS.c.name == bindparam("who")).outerjoin(
        _ATTEMPTS, _ATTEMPTS.c.request == bindparam("request", type_=String)
    )
)
_free = _WORKERS.alias().c
_FREE = select(_free.name).where(_free.name == bindparam("who")).with_for_update(skip_locked=True).scalar_subquery()
_RENEWED = update(_WORKERS).where(_WORKERS.c.name == _FREE).values(seen_at=bindparam("now"))
