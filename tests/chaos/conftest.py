"""A PostgreSQL that can be restarted under those who use it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from service.settings import sqlite_url
from tests.databases import postgres_server


class Database:
    """One empty database, and what may happen to it."""

    def __init__(self, url: str, folder: Path | None = None, binaries: Path | None = None) -> None:
        self.url = url
        self._folder, self._binaries = folder, binaries

    @property
    def is_postgres(self) -> bool:
        return self._folder is not None

    def restart(self) -> None:
        """At once, as after a crash: whoever is connected loses the connection in the middle of what it does."""
        control = [str(self._binaries / "pg_ctl"), "-D", str(self._folder), "-m", "immediate", "-w", "-t", "60"]
        command = [*control, "restart", "-l", str(self._folder / "log")]
        owner = self._folder.stat().st_uid  # PostgreSQL runs as somebody else where the tests run as root
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=owner, cwd=self._folder)

    def cut(self) -> None:
        """Ends every connection."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, Path, Path]]:
    with postgres_server(max_connections="300") as server:  # processes are killed here, the machine is not
        # There may be several versions.
        binaries = Path((server.folder / "postmaster.opts").read_text().split()[0]).parent
        found = server.url, server.folder, binaries
        Database(*found).restart()
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Database(sqlite_url(tmp_path))
        return
    yield from fresh(*request.getfixturevalue("server"))


@pytest.fixture
def postgres(server: tuple[str, Path, Path]) -> Iterator[Database]:
    yield from fresh(*server)


def fresh(url: str, folder: Path, binaries: Path) -> Iterator[Database]:
    base, _, rest = url.partition("?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS chaos WITH (FORCE)")
        connection.execute("CREATE DATABASE chaos")
    yield Database(f"{base.rpartition('/')[0]}/chaos?{rest}", folder, binaries)
