"""The whole database as files of JSON lines, and back: one state of it, between any two kinds of database.

Tables are read and written as they are there, not as this version of the code knows them: an old backup is restored at
its own revision first and migrated then, like the database that it is of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    column,
    func,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.types import JSON

from protocol.jobs import JobState
from service.errors import StoreUnusableError
from service.store.engine import open_engine, reading, writing
from service.store.jobs import OPEN
from service.store.migrate import downgrade, translated, upgrade

LEFT_OUT = frozenset({"alembic_version", "duties"})
"""The revision is told apart; a duty is of a process that holds it now."""

LEAP = 1_000_000
"""Numbers that jobs may have been given after the backup, and attempts: none of them is given again."""

_BATCH = 500

Tick = Callable[[], None]
"""Called again and again while something takes long."""


def dump(database_url: str, folder: Path, tick: Tick) -> tuple[str, dict[str, dict[str, Any]]]:
    """Writes `TABLE.jsonl` for each table: its revision, and of each table its rows and the SHA-256 of its file.

    Raises:
        StoreUnusableError: the database cannot be read.
    """
    told: dict[str, dict[str, Any]] = {}
    with translated(database_url):
        engine = open_engine(database_url)
        try:
            with reading(engine).connect() as connection, connection.begin():
                revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
                for each in _tables(connection):
                    told[each.name] = _write(connection, each, folder / f"{each.name}.jsonl", tick)
        finally:
            engine.dispose()
    return str(revision), told


def load(database_url: str, folder: Path, revision: str, names: list[str]) -> None:
    """Fills an empty database with the files of these tables and brings it up to date; in one transaction, or not.

    Whoever works for a job since before is refused from now on: its attempt is another one.

    Raises:
        StoreUnusableError: the database holds something, or cannot be written.
    """
    refuse_unless_empty(database_url)
    downgrade(database_url, "base")
    upgrade(database_url, revision)
    with translated(database_url):
        engine = open_engine(database_url)
        try:
            with writing(engine).begin() as connection:
                tables = [each for each in _tables(connection) if each.name in names]
                for each in tables:
                    _read(connection, each, folder / f"{each.name}.jsonl")
                _fence(connection)
                for each in tables:
                    _number_on(connection, each)
        finally:
            engine.dispose()
    upgrade(database_url)


def refuse_unless_empty(database_url: str) -> None:
    """Raises: StoreUnusableError: there are rows in it."""
    with translated(database_url):
        engine = open_engine(database_url)
        try:
            with engine.connect() as connection:
                held = [each.name for each in _tables(connection) if connection.execute(select(each).limit(1)).first()]
        finally:
            engine.dispose()
    if held:
        raise StoreUnusableError(
            f"the database holds {', '.join(held)} already, and a restore overwrites nothing: name an empty database"
        )


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _tables(connection: Connection) -> list[Table]:
    """Those that are there, each after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    for each in metadata.sorted_tables:
        for one in each.columns:
            if isinstance(one.type, JSON):
                one.type = JSON(none_as_null=True)
    return [each for each in metadata.sorted_tables if each.name not in LEFT_OUT]


def _write(connection: Connection, each: Table, path: Path, tick: Tick) -> dict[str, Any]:
    digest, count = hashlib.sha256(), 0
    found = connection.execution_options(yield_per=_BATCH).execute(select(each).order_by(*each.primary_key.columns))
    with path.open("wb") as file:
        for row in found.mappings():
            line = json.dumps({name: _plain(value) for name, value in row.items()}, separators=(",", ":"))
            file.write(line.encode() + b"\n")
            digest.update(line.encode() + b"\n")
            count += 1
            tick()
    return {"rows": count, "sha256": digest.hexdigest()}


def _read(connection: Connection, each: Table, path: Path) -> None:
    instants = {one.name for one in each.columns if isinstance(one.type, DateTime)}
    keep_zone = connection.dialect.name != "sqlite"

    def values(row: dict[str, Any]) -> dict[str, Any]:
        return {
            name: _instant(value, keep_zone) if name in instants and value is not None else value
            for name, value in row.items()
        }

    rows = map(values, rows_of(path))
    while some := list(islice(rows, _BATCH)):
        connection.execute(insert(each), some)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    return value


def _instant(value: str, keep_zone: bool) -> datetime:
    instant = datetime.fromisoformat(value).astimezone(UTC)
    return instant if keep_zone else instant.replace(tzinfo=None)


_JOBS = table(
    "jobs", column("id", Integer), column("state", String), column("attempt", Integer), column("released", Integer)
)


def _fence(connection: Connection) -> None:
    """Nobody has the lease of an open job any more, and no attempt that was made since the backup fits."""
    leased = (_JOBS.c.state == str(JobState.LEASED)).cast(Integer)
    connection.execute(
        update(_JOBS)
        .where(_JOBS.c.state.in_([str(state) for state in OPEN]))
        .values(attempt=_JOBS.c.attempt + LEAP, released=_JOBS.c.released + LEAP + leased)
    )


def _number_on(connection: Connection, each: Table) -> None:
    """New rows are numbered behind the restored ones; jobs behind all that may have been made since the backup."""
    (key, *others) = each.primary_key.columns
    if others or not isinstance(key.type, Integer):
        return
    last = connection.scalar(select(func.coalesce(func.max(key), 0))) or 0
    following = last + (LEAP if each.name == "jobs" else 0)
    if connection.dialect.name == "sqlite":
        if each.name == "jobs":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = 'jobs'"))
            connection.execute(text("INSERT INTO sqlite_sequence VALUES ('jobs', :last)"), {"last": following})
        return
    sequence = connection.scalar(select(func.pg_get_serial_sequence(each.name, key.name)))
    if sequence is not None and following:
        connection.execute(select(func.setval(bindparam("sequence", sequence), following)))
