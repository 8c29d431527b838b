"""The pages as the real application serves them, over a real store."""

from contextlib import closing

import pytest
from fastapi.testclient import TestClient

from protocol.study import StudySpec
from protocol.tokens import CreateToken, Scope
from service.app import create_app
from service.operations.tokens import create_token
from service.settings import Settings, sqlite_url
from service.store.migrate import upgrade
from service.store.unit_of_work import Store


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with TestClient(create_app(Settings(home=home, database_url=sqlite_url(home), hosts=("testserver",)))) as client:
        spec = StudySpec.model_validate({"name": "demo", "teacher": "built-in", "task": {"dataset": "docstrings"}})
        assert client.post("/v1/studies", json={"spec": spec.canonical()}).status_code == 201
        yield client


def test_study_page_shows_what_is_stored(client):
    response = client.get("/studies/demo")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert 'data-study="demo"' in response.text
    assert 'data-state="preparing"' in response.text
    assert "script-src 'self'" in response.headers["content-security-policy"]


def test_overview_links_to_every_study(client):
    response = client.get("/")
    assert response.status_code == 200
    assert 'href="/studies/demo"' in response.text


@pytest.mark.parametrize("name", ["nowhere", "%3Cscript%3Ealert(1)", "Demo"])
def test_unknown_study_is_a_page_that_leads_back(client, name):
    response = client.get(f"/studies/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert 'href="/"' in response.text
    assert "<script" not in response.text


def test_everything_that_a_page_names_is_there(client):
    page = client.get("/studies/demo").text
    named = {part.partition('"')[0] for part in page.split('="/')[1:]}
    assert any(path.startswith("static/plotly.min.js") for path in named)
    for path in named:
        assert client.get(f"/{path}").status_code == 200, path


def test_pages_are_no_part_of_the_api(client):
    paths = client.get("/v1/openapi.json").json()["paths"]
    assert paths
    assert all(path.startswith("/v1/") for path in paths)


def test_an_open_service_has_nothing_to_sign_in_to(client):
    page = client.get("/login").text
    assert "Nothing to sign in to" in page
    assert "<input" not in page


def test_pages_are_the_same_for_everybody_and_run_no_script_of_others(client):
    for path in ("/", "/login", "/studies/demo"):
        policy = client.get(path).headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "Set-Cookie" not in client.get(path).headers


@pytest.fixture
def seen_by(tmp_path):
    """What a page says to the holder of a token of this scope, at a service of its own that asks for one."""
    upgrade(sqlite_url(tmp_path))
    with closing(Store(sqlite_url(tmp_path))) as store, store.write() as uow:
        tokens = {scope: create_token(uow, CreateToken(name=str(scope), scope=scope)).token for scope in Scope}
    settings = Settings(home=tmp_path, database_url=sqlite_url(tmp_path), hosts=("testserver",))
    with TestClient(create_app(settings)) as client:
        yield lambda scope, path: client.get(path, headers={"Authorization": f"Bearer {tokens[scope]}"}).text


def test_who_may_only_read_is_offered_nothing_else(seen_by):
    for scope in (Scope.ADMIN, Scope.USER):
        assert 'href="/new"' in seen_by(scope, "/")
        assert "Start the study" in seen_by(scope, "/new")
        assert "data-only-reads" not in seen_by(scope, "/")
    assert 'href="/new"' not in seen_by(Scope.READ_ONLY, "/")
    assert "Start the study" not in seen_by(Scope.READ_ONLY, "/new")
    assert "data-only-reads" in seen_by(Scope.READ_ONLY, "/"), "the scripts leave their buttons out"


def test_somebody_without_a_token_is_led_nowhere_else(seen_by, tmp_path):
    settings = Settings(home=tmp_path, database_url=sqlite_url(tmp_path), hosts=("testserver",))
    with TestClient(create_app(settings)) as client:
        assert "<nav" not in client.get("/login").text
