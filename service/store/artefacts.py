"""Which artefacts there are. Their files are in `artefact_files`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.store.tables import ArtefactRow


class ArtefactRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, identity: str, size_bytes: int, now: datetime) -> bool:
        """Whether it is new. Its file must be in place before."""
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        statement = insert(ArtefactRow).values(id=identity, size_bytes=size_bytes, created_at=now)
        added = self._session.execute(statement.on_conflict_do_nothing().returning(ArtefactRow.id))
        return added.first() is not None

    def find(self, identity: str) -> ArtefactRow | None:
        return self._session.get(ArtefactRow, identity)

    def missing(self, identities: Collection[str]) -> list[str]:
        """Those of these that nobody uploaded."""
        if not identities:
            return []
        known = set(self._session.scalars(select(ArtefactRow.id).where(ArtefactRow.id.in_(identities))))
        return sorted(set(identities) - known)
