"""Connections to SQLite and to PostgreSQL, set up so that both behave alike."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another one of the same SQLite file."""

ASK_AFTER_S = 1.0
"""How long a connection to PostgreSQL must have been idle to be asked whether it still works before it is used.

One that was just used costs no way there and back more: should it be gone, whoever has it is told that the database
closed it, as if that had happened a moment later, and the pool drops all that are as old.
"""

_LEFT_S = "stillhouse_left_s"
_IMMEDIATE = "stillhouse_immediate"


def open_engine(database_url: str) -> Engine:
    """An engine to derive `reading` and `writing` ones from.

    Floats that are not finite are refused: JSON has no word for them, and PostgreSQL would not take them.
    """
    url = make_url(database_url)
    serializer = partial(json.dumps, allow_nan=False)
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            json_serializer=serializer,
            hide_parameters=True,  # in messages and logs
            pool_size=10,
            max_overflow=40,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=serializer,
        hide_parameters=True,
        pool_size=10,
        max_overflow=40,
        isolation_level="READ COMMITTED",  # set once: an option of transactions is set and taken back for each
    )
    event.listen(engine, "checkin", _leave)
    event.listen(engine, "checkout", partial(_ask, engine.dialect))
    return engine


def reading(engine: Engine) -> Engine:
    """The same connections for transactions that only read: each sees one state of the database throughout."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: Engine) -> Engine:
    """The same connections for transactions that write.

    On SQLite they take the write lock at once: one that read first and then finds that it may not write would have to
    be repeated. On PostgreSQL, row locks do what is needed at READ COMMITTED.
    """
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_IMMEDIATE: True})
    return engine


def database_name(database_url: str) -> str:
    """What messages call it. The address itself is not shown: it may hold a password."""
    scheme, _, path = database_url.partition(":///")
    return f"the database {path}" if scheme == "sqlite" else "the PostgreSQL database"


def first_line(error: Exception) -> str:
    """What the database said, without what SQLAlchemy adds to it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).strip().partition("\n")[0]


def _leave(_connection: Any, record: Any) -> None:
    record.info[_LEFT_S] = time.monotonic()


def _ask(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    left_s = record.info.get(_LEFT_S)  # a new one has none
    if left_s is None or time.monotonic() - left_s < ASK_AFTER_S:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _prepare_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # The driver itself begins nothing (isolation_level None): left alone it would begin at the first write only.
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
