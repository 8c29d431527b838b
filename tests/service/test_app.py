import hashlib
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import PortTakenError, StoreUnusableError
from service.server import bind, serve
from service.settings import Settings, sqlite_url
from service.store.migrate import upgrade
from service.suggester import run_suggester

SERVE = """
import sys
from pathlib import Path
from service.server import serve
from service.settings import Settings, sqlite_url
home = Path(sys.argv[1])
drain_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
settings = Settings(home=home, database_url=sqlite_url(home), port=0, drain_s=drain_s)
serve(settings, lambda address: print(address, flush=True))
"""


def settings(tmp_path, port):
    return Settings(home=tmp_path, database_url=sqlite_url(tmp_path), port=port, hosts=("testserver",))


def test_web_process_loads_no_numerical_framework():
    script = "import json, sys, service.server; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "fastapi" in loaded
    assert not loaded & {"torch", "jax", "transformers", "ax", "botorch", "pandas", "sklearn", "scipy"}


def test_suggester_loads_a_model_only_when_a_study_needs_it():
    script = "import json, sys, service.suggester; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "ax", "botorch", "fastapi"}


def test_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken"):
            bind(settings(tmp_path, port))


def test_port_0_is_any_free_one(tmp_path):
    with bind(settings(tmp_path, 0)) as one, bind(settings(tmp_path, 0)) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def corrupt(path):
    path.write_bytes(b"no database" * 1000)


def of_a_newer_version(path):
    upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (corrupt, "cannot be used: file is not a database"),
        (of_a_newer_version, "upgrade Stillhouse"),
        (Path.mkdir, "unable to open"),
    ],
)
def test_database_that_cannot_be_used_ends_service_and_suggester_with_the_reason(tmp_path, spoil, message):
    spoil(tmp_path / "stillhouse.db")
    for start in (serve, lambda settings: run_suggester(settings, nullcontext, threading.Event())):
        with pytest.raises(StoreUnusableError, match=message) as refused:
            start(settings(tmp_path, 0))
        assert str(tmp_path / "stillhouse.db") in str(refused.value)


def test_file_in_place_of_the_home_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreUnusableError, match="home"):
        serve(settings(tmp_path / "home", 0))


def test_database_out_of_reach_is_told_without_its_password():
    with pytest.raises(StoreUnusableError, match="PostgreSQL database cannot be used") as refused:
        upgrade("postgresql://somebody:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(refused.value)


def test_service_migrates_serves_and_stops_although_a_worker_waits(tmp_path):
    service = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        address = service.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=address, timeout=30) as http:
            assert http.get("/v1/healthz").json() == {"status": "ok"}
            assert http.get("/v1/studies").json() == []
            with socket.create_connection((httpx.URL(address).host, httpx.URL(address).port)) as waiting:
                body = json.dumps({"worker": "w", "kinds": ["measure"], "protocol_version": 2, "wait_s": 60})
                request = "POST /v1/jobs:lease HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                waiting.sendall(f"{request}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                while not http.get("/v1/workers").json():
                    pass
                service.send_signal(signal.SIGTERM)
                waiting.settimeout(4)  # less than the grace that others are given
                assert b"204" in waiting.recv(100)
        assert service.wait(10) in (0, -signal.SIGTERM)
    finally:
        service.kill()
        service.wait()
        service.stdout.close()
    assert (tmp_path / "stillhouse.db").exists()


def test_a_replica_that_is_told_to_end_says_so_first_and_finishes_what_is_under_way(tmp_path):
    content = b"x" * 1000
    name = hashlib.sha256(content).hexdigest()
    service = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path), "1.5"], stdout=subprocess.PIPE, text=True)
    try:
        url = httpx.URL(service.stdout.readline().strip())
        with socket.create_connection((url.host, url.port)) as sending, httpx.Client(base_url=url) as http:
            sending.settimeout(30)
            head = f"PUT /v1/artefacts/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            sending.sendall(head.encode() + content[:500])
            assert http.get("/readyz").status_code == 200
            service.send_signal(signal.SIGTERM)
            while (answer := http.get("/readyz")).status_code == 200:
                pass
            assert answer.json()["reasons"] == ["the replica is about to end"]
            assert http.get("/v1/studies").status_code == 200
            with suppress(httpx.TransportError):
                while http.get("/healthz").is_success:
                    pass
            sending.sendall(content[500:])
            assert b"201 Created" in sending.recv(1000)
        assert service.wait(10) in (0, -signal.SIGTERM)
    finally:
        service.kill()
        service.wait()
        service.stdout.close()


def test_pages_of_the_dashboard_are_part_of_the_application(tmp_path):
    with TestClient(create_app(settings(tmp_path, 0))) as http:
        page = http.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
