"""INSERT ... ON CONFLICT, which both databases know, and SQLAlchemy by two names."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.store.tables import Table


def inserting(session: Session, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
    """An insertion that can be told what to do where the row is there already."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(table)
