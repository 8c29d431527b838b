"""Bodies that are too large, with and without a length; https; proxies; and what the log never says."""

import hashlib
import logging
import ssl
import subprocess
import threading

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from cli.logs import log_to_stderr
from protocol.tokens import CreateToken, Scope
from service.app import create_app
from service.errors import SettingsError, StoreUnavailableError
from service.operations.tokens import create_token
from service.server import bind, check_certificate, configuration
from service.settings import Settings, sqlite_url


@pytest.fixture
def settings(tmp_path):
    return Settings(
        home=tmp_path,
        database_url=sqlite_url(tmp_path),
        hosts=("testserver",),
        largest_message_bytes=1000,
        largest_artefact_bytes=5000,
    )


@pytest.fixture
def http(settings):
    with TestClient(create_app(settings)) as client:
        yield client


class Served:
    """Real services in threads, each with a store of its own."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def __call__(self, *, token=False, **changes):
        home = self.folder / f"home-{len(self.running)}"
        settings = Settings(home=home, database_url=sqlite_url(home), port=0, **changes)
        self.app = create_app(settings)
        if token:
            with self.app.state.parts.store.write() as uow:
                self.token = create_token(uow, CreateToken(name="a", scope=Scope.ADMIN)).token
            self.app.state.parts.keys.read()
        listening = bind(settings)
        server = uvicorn.Server(configuration(self.app, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        self.running.append((server, thread, listening))
        scheme = "http" if settings.tls_certificate is None else "https"
        return f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"

    def stop(self):
        for server, thread, listening in self.running:
            server.should_exit = True
            thread.join()
            listening.close()


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.stop()


def blocks(size):
    """Without a length: it is sent in chunks."""
    for start in range(0, size, 100):
        yield b" " * min(100, size - start)


def of(size, chunked):
    return blocks(size) if chunked else b" " * size


@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_that_is_too_large_is_refused(http, chunked):
    headers = {"Content-Type": "application/json"}
    answer = http.post("/v1/studies", content=of(1001, chunked), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "1,000 bytes" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert http.post("/v1/studies", content=of(1000, chunked), headers=headers).status_code == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_an_artefact_that_is_too_large_is_refused_and_leaves_nothing(http, settings, chunked):
    name = hashlib.sha256(b" " * 5001).hexdigest()
    answer = http.put(f"/v1/artefacts/{name}", content=of(5001, chunked))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not [path for path in settings.artefacts.rglob("*") if path.is_file()]
    name = hashlib.sha256(b" " * 5000).hexdigest()
    assert http.put(f"/v1/artefacts/{name}", content=of(5000, chunked)).status_code == 201


def test_whoever_has_no_token_sends_no_body(http):
    with http.app.state.parts.store.write() as uow:
        create_token(uow, CreateToken(name="a", scope=Scope.ADMIN))
    http.app.state.parts.keys.read()  # as it does a second later
    sent = []

    def body():
        for block in blocks(5000):
            sent.append(block)
            yield block

    assert http.put(f"/v1/artefacts/{64 * 'a'}", content=body()).status_code == 401


@pytest.mark.parametrize("host", ["[", "[::1", "evil.example", "", "a b", "127.0.0.1.evil.example", "127.0.0.1@evil"])
def test_a_strange_host_is_refused(http, host):
    assert http.get("/v1/studies", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fstillhouse.db", "A" * 64, "a" * 63, "a" * 64 + "%00"])
def test_an_artefact_is_named_by_its_hash_alone(http, name):
    for method in ("GET", "HEAD", "PUT"):
        assert http.request(method, f"/v1/artefacts/{name}").status_code in (404, 405, 422)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    names = ["-keyout", "key.pem", "-out", "cert.pem"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
    ]
    subject = ["1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *subject, *names], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_certificate_that_cannot_be_used_is_named(settings, certificate, tmp_path):
    def with_tls(cert, key):
        return Settings(home=settings.home, database_url=settings.database_url, tls_certificate=cert, tls_key=key)

    check_certificate(with_tls(certificate / "cert.pem", certificate / "key.pem"))
    for cert, key in (("cert.pem", "nothing.pem"), ("key.pem", "key.pem"), ("cert.pem", "cert.pem")):
        with pytest.raises(SettingsError, match=key):
            check_certificate(with_tls(certificate / cert, certificate / key))


def test_the_service_speaks_https(certificate, tmp_path, served):
    address = served(tls_certificate=certificate / "cert.pem", tls_key=certificate / "key.pem")
    assert address.startswith("https://127.0.0.1:")
    trusted = ssl.create_default_context(cafile=certificate / "cert.pem")
    assert httpx.get(f"{address}/v1/healthz", verify=trusted, trust_env=False).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address.replace("https", "http") + "/v1/healthz", trust_env=False)


def test_a_proxy_is_believed_only_where_it_is_named(served):
    forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    wrong = {"Authorization": f"Bearer sth_01234567_{43 * 'x'}"}
    for proxies, believed in (((), False), (("10.0.0.0/8",), False), (("127.0.0.1",), True)):
        address = served(token=True, proxies=proxies)
        for _ in range(10):
            assert httpx.get(f"{address}/v1/studies", headers=forwarded | wrong, trust_env=False).status_code == 401
        # The failures are counted for whoever the service believes that it was.
        status = httpx.get(f"{address}/v1/studies", headers=wrong, trust_env=False).status_code
        assert status == (401 if believed else 429), proxies


def test_secrets_are_in_no_log(served, monkeypatch, capsys):
    """Whatever goes wrong: all that the process would log, with every traceback."""
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    log_to_stderr()
    address = served(token=True)
    app, token = served.app, served.token
    bearer = {"Authorization": f"Bearer {token}"}

    def broken(_identity):
        raise RuntimeError(f"failed with {token} at postgresql://me:hunter2@there/db")

    monkeypatch.setattr(app.state.parts.files, "upload", broken)
    assert httpx.put(f"{address}/v1/artefacts/{64 * 'a'}", headers=bearer, trust_env=False).status_code == 500
    with httpx.Client(base_url=address, trust_env=False) as http:
        session = http.post("/v1/session", json={"token": token}).cookies["stillhouse_session"]
        http.cookies.clear()
        assert http.post("/v1/session", json={"token": token[:-1]}).status_code == 401
        assert http.post("/v1/session", json={"tokn": token}).status_code == 422
        assert http.get(f"/v1/studies?token={token}", headers=bearer).status_code == 200
    logging.getLogger("service").error("cannot reach %s with %s", "postgresql://me:hunter2@there/db", token)
    out = capsys.readouterr().err
    assert "failed with sth_" in out
    assert "Traceback" in out
    for secret in (token, session):
        assert secret.split("_", 2)[2] not in out
    assert "hunter2" not in out


def test_a_password_of_the_database_is_in_no_error():
    from service.store.unit_of_work import Store

    store = Store("postgresql://me:hunter2@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailableError) as refused, store.read() as uow:
        uow.tokens.everything()
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.__cause__)
    store.close()
