"""Answers by the key of their request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service.store.inserting import inserting
from service.store.tables import IdempotencyRow

_BEGUN = 0
"""Status of a request that this transaction is about to answer; nobody else sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    digest: str
    status: int
    answer: str


class IdempotencyRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, key: str, digest: str, now: datetime) -> StoredAnswer | None:
        """The answer that was given to this key; None for a new one, that is this transaction's to answer.

        A transaction that begins with the same key meanwhile waits for this one to end.
        """
        statement = inserting(self._session, IdempotencyRow).on_conflict_do_nothing().returning(IdempotencyRow.key)
        values = {"key": key, "digest": digest, "status": _BEGUN, "answer": "", "created_at": now}
        new = self._session.execute(statement.values(**values)).first()
        if new is not None:
            return None
        row = self._session.scalars(select(IdempotencyRow).where(IdempotencyRow.key == key)).one()
        return StoredAnswer(digest=row.digest, status=row.status, answer=row.answer)

    def answer(self, key: str, status: int, answer: str) -> None:
        statement = update(IdempotencyRow).where(IdempotencyRow.key == key).values(status=status, answer=answer)
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def prune(self, before: datetime) -> None:
        """Forgets what was answered earlier."""
        self._session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < before))
