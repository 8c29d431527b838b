"""Workers in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from protocol.jobs import JobKind
from service.store.tables import Worker


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def seen(self, name: str, kinds: tuple[JobKind, ...], targets: tuple[str, ...], now: datetime) -> None:
        """Remembers that the worker asked, and for what."""
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        values = {"kinds": kinds, "targets": targets, "seen_at": now}
        statement = insert(Worker).values(name=name, **values)
        self._session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=values))

    def renewed(self, name: str, now: datetime) -> None:
        """Remembers that the worker is alive."""
        worker = self._session.get(Worker, name)
        if worker is not None:
            worker.seen_at = now

    def all(self) -> Sequence[Worker]:
        return self._session.scalars(select(Worker).order_by(Worker.name)).all()

    def alive(self, since: datetime) -> int:
        """How many were seen after this instant."""
        return self._session.scalar(select(func.count()).select_from(Worker).where(Worker.seen_at >= since)) or 0
