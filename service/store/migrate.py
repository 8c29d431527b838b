"""Brings a database to the present schema; `python -m service.store.migrate --check` tells whether migrations lack."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import alembic.command
import alembic.config
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from service.errors import StoreUnusableError
from service.settings import DATABASE_VARIABLE, Settings, sqlite_url
from service.store.engine import database_name, first_line, open_engine, writing
from service.store.tables import Table

Command = Callable[[alembic.config.Config], None]

_LOCK = 7_165_209_021
"""Key of the PostgreSQL advisory lock that one migrating process holds; the number means nothing."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the database up to this revision, in one transaction; of several processes at once, one does the work.

    Raises:
        StoreUnusableError: it cannot be reached, is no database, or is of a newer version.
    """
    _run(database_url, lambda configuration: alembic.command.upgrade(configuration, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Brings the database back to this revision; `base` is an empty one. What it did not know is lost."""
    _run(database_url, lambda configuration: alembic.command.downgrade(configuration, revision))


def is_behind(revision: str | None) -> bool:
    """Whether a database at this revision lacks migrations that we know. One that we do not know is newer."""
    return revision != _head() and (revision is None or revision in _known())


def knows(revision: str) -> bool:
    """Whether it is one of our migrations."""
    return revision in _known()


def difference(database_url: str) -> list[str]:
    """What the tables in the code and those in the database differ in; one line each."""
    with _opened(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(line) for line in compare_metadata(context, Table.metadata)]


def migrations() -> Path:
    """The folder of the migrations: in an installed wheel beside this file, in a checkout at its root."""
    installed = Path(__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "alembic"


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations()))


def _head() -> str | None:
    return _scripts().get_current_head()


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


def _run(database_url: str, command: Command) -> None:
    # SQLite's immediate transaction, or the advisory lock, makes a second process wait; it then has nothing to do.
    with translated(database_url), _opened(database_url) as engine, writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command(_configuration(connection))


@contextmanager
def _opened(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def translated(database_url: str) -> Iterator[None]:
    """Says of a database what is wrong with it.

    Raises:
        StoreUnusableError.
    """
    database = database_name(database_url)
    try:
        yield
    except CommandError as error:
        raise StoreUnusableError(
            f"{database} was made by another version of Stillhouse ({error}): upgrade Stillhouse, or name another "
            f"database with {DATABASE_VARIABLE} or another home"
        ) from error
    except (SQLAlchemyError, OSError, ValueError) as error:
        raise StoreUnusableError(
            f"{database} cannot be used: {first_line(error)}; mend that, or name another database with "
            f"{DATABASE_VARIABLE} or another home"
        ) from error


def _configuration(connection: Connection) -> alembic.config.Config:
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m service.store.migrate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare migrations and tables; change nothing")
    if not parser.parse_args(arguments).check:
        upgrade(Settings.from_environment().database_url)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(folder))
        upgrade(url)
        lines = difference(url)
    for line in lines:
        print(f"migrations lack: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
