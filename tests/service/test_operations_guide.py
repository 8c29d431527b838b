"""What docs/guides/operations.md tells a team to do is done here as it stands there, at other addresses."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from cli.main import main
from client import Client, ProblemError
from service.settings import Settings, sqlite_url
from service.store.unit_of_work import Store

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "operations.md"
ELSEWHERE = {"stillhouse run", "python benchmarks/service_load.py"}
"""Named there, and no command for who runs the service, or one that takes a quarter of an hour."""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def guide():
    return GUIDE.read_text()


@pytest.fixture
def place(tmp_path, postgres, monkeypatch):
    """An empty PostgreSQL database, and where the guide's folders are in these tests."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS guide WITH (FORCE)")
        connection.execute("CREATE DATABASE guide")
    before, _, options = postgres.partition("?")
    address = f"{before.rpartition('/')[0]}/guide?{options}"
    for name in [name for name in os.environ if name.startswith("STILLHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return {
        "postgresql://stillhouse:PASSWORD@HOST/stillhouse": address,
        "/srv/stillhouse": str(tmp_path / "srv"),
        "/backups": str(tmp_path / "backups"),
    }


def blocks(guide, heading):
    """The lines of commands below this heading."""
    part = re.split(r"^## ", guide, flags=re.MULTILINE)
    (text,) = [text for text in part if text.startswith(heading)]
    return [block.splitlines() for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def stillhouse(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code, arguments


class Service:
    """A command that goes on until it is told to end."""

    def __init__(self, command):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.output = Path(f"{port}.log")
        ported = ["--port", str(port)] if command[0] == "serve" else []
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *command, *ported],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stderr=output,
            )

    def end(self):
        """As its supervisor would."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0, self.output.read_text()


def test_a_team_installs_upgrades_backs_up_and_restores(guide, place, capsys, monkeypatch, tmp_path):
    def do(line):
        for theirs, ours in place.items():
            line = line.replace(theirs, ours)
        word, *arguments = shlex.split(line)
        if word == "export":
            name, _, value = arguments[0].partition("=")
            monkeypatch.setenv(name, value)
        else:
            assert word == "stillhouse", line
            stillhouse(*arguments)
        return capsys.readouterr().out

    (install,), (upgrade,), ((back_up, restore),) = (
        blocks(guide, heading) for heading in ("Install", "Upgrade", "Back up and restore")
    )
    *before, serve = install
    told = [do(line) for line in before]
    token = re.search(r"sth_\S+", told[-1])[0]
    service = Service(shlex.split(serve)[1:])
    with Client(service.url, token=token, patience_s=PATIENCE_S) as client:
        assert client.studies.list() == ()  # it is there, on the database that was migrated and had the token
        monkeypatch.setenv("STILLHOUSE_HEARTBEAT", str(tmp_path / "beat"))
        suggester = Service(["suggest"])
        watched(service.url, guide, token)
        worker = re.search(r"sth_\S+", do("stillhouse token create --scope worker --name NAME"))[0]
        with (
            Client(service.url, token=worker, patience_s=0) as their,
            pytest.raises(ProblemError, match="scope worker"),
        ):
            their.studies.list()
        for line in upgrade:
            do(line)
        do(back_up)
        until((tmp_path / "beat").exists)
        suggester.end()
        service.end()
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "second"))
    monkeypatch.setenv("STILLHOUSE_DATABASE_URL", sqlite_url(tmp_path / "second"))  # the guide says that one may
    do(restore)
    store = Store(sqlite_url(tmp_path / "second"))
    with store.read() as uow:
        assert {row.name for row in uow.tokens.all()} == {"me", "NAME"}
    store.close()


def until(condition):
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def watched(url, guide, token):
    """What the guide says to look at is there."""
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as http:
        for probe in ("/healthz", "/readyz"):
            assert http.get(probe).status_code == 200
        assert http.get("/metrics").status_code == 401
        metrics = http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    named = re.findall(r"`(stillhouse_[a-z_]+)", "".join(re.findall(r"^\| `stillhouse_.*$", guide, re.MULTILINE)))
    assert len(named) > 10
    for name in named:
        assert f"\n# TYPE {name.removesuffix('_total')}" in metrics, name


def test_every_setting_of_the_guide_is_one(guide, place, capsys, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_HOME", place["/srv/stillhouse"])
    told = ""
    for command in ("serve --print-config", "worker --print-config"):
        assert f"`stillhouse {command}`" in guide
        stillhouse(*command.split())
        told += capsys.readouterr().out
    variables = dict(re.findall(r"^\| `(STILLHOUSE_[A-Z_]+)` \| ([^|]*) \|", guide, re.MULTILINE))
    for name in ("LOG_FORMAT", "HEARTBEAT"):  # of every process, and no setting of one
        variables.pop(f"STILLHOUSE_{name}")
    for name, default in variables.items():
        key = name.removeprefix("STILLHOUSE_").lower()
        assert re.search(rf"^#? ?{key} = ", told, re.MULTILINE), name
        if default.strip().isdecimal():
            assert getattr(Settings(home=Path(), database_url="sqlite:///x"), key) == float(default), name


def test_no_command_of_the_guide_is_left_out(guide):
    inline = {command.removesuffix(" --url ...") for command in re.findall(r"`(stillhouse [^`]+)`", guide)}
    done = {
        "stillhouse serve",
        "stillhouse serve --no-suggester",
        "stillhouse serve --print-config",
        "stillhouse worker --print-config",
        "stillhouse suggest",
        "stillhouse token create --scope worker --name NAME",
        "stillhouse worker",  # tests/end_to_end
        "stillhouse serve --json",  # tests/cli/test_lines.py
        "stillhouse worker --json",  # its events: tests/worker
    }
    assert inline <= done | ELSEWHERE
    fenced = re.findall(r"^```\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    lines = {line for block in fenced for line in block.splitlines()}
    sections = ("Install", "Upgrade", "Back up and restore")
    known = {line for heading in sections for block in blocks(guide, heading) for line in block}
    assert lines <= known | ELSEWHERE
