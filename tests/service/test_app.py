import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from fastapi.testclient import TestClient

from service.app import bind, create_app
from service.errors import PortTakenError
from service.settings import Settings, sqlite_url

SERVE = """
import sys
from pathlib import Path
from service.app import serve
from service.settings import Settings, sqlite_url
home = Path(sys.argv[1])
serve(Settings(home=home, database_url=sqlite_url(home), port=0), lambda address: print(address, flush=True))
"""


def settings(tmp_path, port):
    return Settings(home=tmp_path, database_url=sqlite_url(tmp_path), port=port)


def test_web_process_loads_no_numerical_framework():
    script = "import json, sys, service.app; print(json.dumps(sorted(sys.modules)))"
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


def test_service_migrates_serves_and_stops_although_a_worker_waits(tmp_path):
    service = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        address = service.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=address, timeout=30) as http:
            assert http.get("/v1/healthz").json() == {"status": "ok"}
            assert http.get("/v1/studies").json() == []
            with socket.create_connection((httpx.URL(address).host, httpx.URL(address).port)) as waiting:
                body = json.dumps({"worker": "w", "kinds": ["measure"], "protocol_version": 1, "wait_s": 60})
                request = "POST /v1/jobs:lease HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
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


def test_pages_of_the_dashboard_are_part_of_the_application(tmp_path):
    with TestClient(create_app(settings(tmp_path, 0))) as http:
        page = http.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
