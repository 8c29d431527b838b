"""Which scope may do what: every route says so, and each endpoint refuses each scope that it should."""

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from protocol.tokens import CreateToken, Scope
from service.api.access import ACCESS, PROBES, PUBLIC_FOLDER, is_public
from service.app import create_app
from service.operations.tokens import create_token
from service.settings import Settings, sqlite_url

UNGUARDED = ("/v1/openapi.json", "/static/plotly.min.js", "/static", *PROBES)
"""Served beside the routes: the document takes any token, the pages' files and the probes are public."""

SAMPLES = {
    "name": "demo",
    "number": "1",
    "job": "1",
    "sha256": "a" * 64,
    "identity": "a" * 8,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return create_app(Settings(home=home, database_url=sqlite_url(home)))


@pytest.fixture(scope="module")
def tokens(app):
    """A token of each scope; one of them is an administrator's, so the service is closed."""
    with app.state.parts.store.write() as uow:
        made = {scope: create_token(uow, CreateToken(name=scope, scope=scope)).token for scope in Scope}
    app.state.parts.keys.read()
    return made


@pytest.fixture(scope="module")
def client(app, tokens):
    with TestClient(app) as client:
        app.state.parts.events.close()  # streams of events end at once
        yield client


def routes(app):
    """`METHOD /path` of everything that the application answers."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or {"GET"}:
            yield f"{method} {route.path}"


def test_every_route_declares_who_may_ask(app):
    undeclared = [route for route in routes(app) if route not in ACCESS and route.partition(" ")[2] not in UNGUARDED]
    assert undeclared == [], "add them to service/api/access.py"


def test_nothing_is_declared_that_is_not_there(app):
    assert set(ACCESS) <= set(routes(app))


def test_routes_without_token_have_no_parameters():
    public = {route for route, scopes in ACCESS.items() if scopes is None}
    assert all("{" not in route for route in public)
    assert all(is_public(*route.split(" ")) for route in public)
    assert not any(route.partition(" ")[2].startswith(PUBLIC_FOLDER) for route in ACCESS)


@pytest.mark.parametrize("route", sorted(ACCESS))
def test_an_endpoint_refuses_each_scope_that_it_should(client, tokens, route):
    method, path = route.split(" ")
    for name, value in SAMPLES.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path, "a sample of this parameter is missing above"
    scopes = ACCESS[route]
    for scope in Scope:
        answer = client.request(method, path, headers={"Authorization": f"Bearer {tokens[scope]}"})
        if scopes is None or scope in scopes:
            assert answer.status_code not in (401, 403, 500), (scope, answer.text)
        else:
            assert answer.status_code == 403, scope
            assert method == "HEAD" or answer.json()["code"] == "scope_missing"
    answer = client.request(method, path)
    if scopes is None:
        assert answer.status_code not in (401, 500)
    else:
        assert answer.status_code == 401
        assert method == "HEAD" or answer.json()["code"] == "token_needed"


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/nowhere", "/v1/nowhere", "/v1/../v1/studies", "//v1/studies"])
def test_what_is_no_route_is_hidden_from_who_has_no_token(client, path):
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/static/style.css", "/static/plotly.min.js", *PROBES])
def test_files_of_the_pages_and_probes_are_public(client, path):
    assert client.get(path, headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize("path", ["/static/../v1/studies", "/static/..%2fv1/studies", "/static/%2e%2e/v1/studies"])
def test_a_path_that_climbs_out_of_the_public_folder_leads_nowhere(client, path):
    assert client.get(path).status_code in (401, 404)
