"""Duties: what one process of the service does at a time, whichever it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, or_
from sqlalchemy.orm import Session

from service.store.inserting import inserting
from service.store.tables import Duty

COLLECT = "collect"
"""Removing artefacts that nobody needs. A backup takes this, too: meanwhile nothing is removed."""


class DutyRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, name: str, holder: str, now: datetime, lease_s: float) -> bool:
        """Whether the duty is this holder's for `lease_s` from now: it was free, over, or its own."""
        values = {"holder": holder, "expires_at": now + timedelta(seconds=lease_s)}
        statement = inserting(self._session, Duty).values(name=name, **values)
        mine = statement.on_conflict_do_update(
            index_elements=[Duty.name], set_=values, where=or_(Duty.expires_at <= now, Duty.holder == holder)
        ).returning(Duty.name)
        return self._session.execute(mine).first() is not None

    def leave(self, name: str, holder: str) -> None:
        self._session.execute(delete(Duty).where(Duty.name == name, Duty.holder == holder))
