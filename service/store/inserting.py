"""INSERT ... ON CONFLICT, which both databases know, and SQLAlchemy by two names."""

from __future__ import annotations

from sqlalchemy import Table as RelationalTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.store.tables import Table

Insertion = sqlite.Insert | postgresql.Insert


def inserting(session: Session, table: type[Table]) -> Insertion:
    """An insertion that can be told what to do where the row is there already."""
    return insertion(session.get_bind().dialect.name, table)


def insertion(dialect: str, table: type[Table] | RelationalTable) -> Insertion:
    """The same, for a database that is known by name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
