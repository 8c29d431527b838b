"""Tokens in the database: never themselves, only their SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from service.store.tables import TokenRow


class TokenRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: TokenRow) -> None:
        self._session.add(row)

    def find(self, identity: str) -> TokenRow | None:
        return self._session.get(TokenRow, identity)

    def all(self) -> Sequence[TokenRow]:
        """Those that people made, the newest first."""
        statement = select(TokenRow).where(TokenRow.parent.is_(None))
        return self._session.scalars(statement.order_by(TokenRow.created_at.desc(), TokenRow.id)).all()

    def everything(self) -> Sequence[TokenRow]:
        """Tokens and the sessions made of them."""
        return self._session.scalars(select(TokenRow)).all()

    def used(self, identity: str, now: datetime, not_since: datetime) -> None:
        """Remembers a use, unless one after `not_since` is known."""
        statement = update(TokenRow).where(
            TokenRow.id == identity, or_(TokenRow.last_used_at.is_(None), TokenRow.last_used_at <= not_since)
        )
        self._session.execute(statement.values(last_used_at=now))

    def revoke_sessions(self, parent: str, now: datetime) -> None:
        statement = update(TokenRow).where(TokenRow.parent == parent, TokenRow.revoked_at.is_(None))
        self._session.execute(statement.values(revoked_at=now))

    def forget_sessions(self, now: datetime) -> int:
        """Deletes the sessions that have ended; how many they were."""
        ended = or_(TokenRow.expires_at <= now, TokenRow.revoked_at.is_not(None))
        found = self._session.execute(delete(TokenRow).where(TokenRow.parent.is_not(None), ended))
        return found.rowcount if isinstance(found, CursorResult) else 0
