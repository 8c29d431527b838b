"""Tokens over HTTP, on both stores: who comes in, who does no more, and what is kept of it."""

import json
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from protocol.problem import MEDIA_TYPE
from protocol.secrets import masked
from protocol.tokens import CreateToken, Scope
from service.api.keyring import USE_NOTED
from service.app import create_app
from service.errors import SettingsError
from service.operations.tokens import create_token, list_tokens
from service.server import check_reach
from service.settings import Settings

HOME_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def make(store, clock):
    """Makes a token, a second ago: the service knows it by now."""

    def make(scope=Scope.ADMIN, name=None, days=None):
        with store.write() as uow:
            made = create_token(uow, CreateToken(name=name or str(scope), scope=scope, days=days))
        clock.advance(1)
        return made

    return make


def bearer(created):
    return {"Authorization": f"Bearer {created.token}"}


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["code"] == code
    return answer


def test_a_service_without_tokens_is_open_on_loopback_and_its_first_token_closes_it(http, make, clock):
    assert http.get("/v1/session").json() == {"open": True, "name": "anybody on this machine", "scope": "admin"}
    assert http.get("/v1/studies").json() == []
    token = make()
    answer = refused(http.get("/v1/studies"), 401, "token_needed")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "STILLHOUSE_TOKEN" in answer.json()["detail"]
    assert http.get("/v1/studies", headers=bearer(token)).json() == []
    assert http.get("/v1/healthz").status_code == 200


def test_the_first_token_is_not_made_over_the_network(http):
    refused(http.post("/v1/tokens", json={"name": "mine", "scope": "admin"}), 403, "scope_missing")
    assert http.get("/v1/tokens").json() == []


def test_an_administrator_makes_lists_and_revokes_tokens(http, make, clock):
    admin = bearer(make())
    made = http.post("/v1/tokens", json={"name": "gpu-1", "scope": "worker", "days": 2}, headers=admin)
    assert made.status_code == 201
    token = made.json()
    assert token["expires_at"] == (clock.now + timedelta(days=2)).isoformat().replace("+00:00", "Z")
    worker = {"Authorization": f"Bearer {token['token']}"}
    lease = {"worker": "w", "kinds": [], "protocol_version": 1, "wait_s": 0}
    assert http.post("/v1/jobs:lease", json=lease, headers=worker).status_code in (204, 409)
    listed = http.get("/v1/tokens", headers=admin).json()
    assert {each["name"]: each["state"] for each in listed} == {"gpu-1": "active", "admin": "active"}
    assert token["token"] not in json.dumps(listed)
    revoked = http.post(f"/v1/tokens/{token['id']}:revoke", headers=admin)
    assert revoked.json()["state"] == "revoked"
    again = http.post(f"/v1/tokens/{token['id']}:revoke", headers=admin)
    assert again.json() == revoked.json()
    clock.advance(1)
    refused(http.post("/v1/jobs:lease", json=lease, headers=worker), 401, "token_ended")
    refused(http.post("/v1/tokens/00000000:revoke", headers=admin), 404, "not_found")


def test_a_token_ends_at_its_expiry_and_opens_no_door(http, make, clock):
    token = bearer(make(days=1))
    clock.advance(86_398)
    assert http.get("/v1/studies", headers=token).status_code == 200
    clock.advance(1)
    refused(http.get("/v1/studies", headers=token), 401, "token_ended")
    refused(http.get("/v1/studies"), 401, "token_needed")


def test_two_tokens_in_use_have_different_names(http, make, clock):
    admin = bearer(make(name="ci", days=1))
    body = {"name": "ci", "scope": "user"}
    refused(http.post("/v1/tokens", json=body, headers=admin), 422, "invalid")
    clock.advance(86_400)
    assert make(name="ci", scope=Scope.USER).name == "ci"


@pytest.mark.parametrize(
    "body",
    [{"name": "", "scope": "user"}, {"name": " ", "scope": "user"}, {"name": "x", "scope": "root"}]
    + [{"name": name, "scope": "user"} for name in ("a\0b", "a\nb", "a\u202eb", "\x1b[31m")]
    + [{"name": "x", "scope": "user", "days": days} for days in (0, -1, 1e9, "soon")],
)
def test_a_token_that_cannot_be_is_refused_by_its_key(http, make, body):
    answer = refused(http.post("/v1/tokens", json=body, headers=bearer(make())), 422, "invalid")
    assert answer.json()["errors"]


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: token + "A", lambda _: "x", lambda _: ""])
def test_a_token_that_is_not_exactly_right_is_unknown(http, make, change):
    token = make().token
    refused(http.get("/v1/studies", headers={"Authorization": f"Bearer {change(token)}"}), 401, "token_unknown")
    refused(http.get("/v1/studies", headers={"Authorization": f"Basic {token}"}), 401, "token_needed")
    assert http.get("/v1/studies", headers={"Authorization": f"bearer  {token} "}).status_code == 200


def test_the_store_keeps_no_token(http, make, store, settings, tmp_path):
    token = make()
    assert http.get("/v1/studies", headers=bearer(token)).status_code == 200
    session = http.post("/v1/session", json={"token": token.token}).cookies["stillhouse_session"]
    with store.read() as uow:
        rows = uow._session.execute(text("SELECT * FROM tokens")).all()
    assert len(rows) == 2
    for secret in (token.token, session):
        assert secret.split("_", 2)[2] not in repr(rows)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert token.token.split("_", 2)[2].encode() not in path.read_bytes()


def test_the_last_use_is_written_rarely(http, make, store, clock):
    token = make(Scope.READ_ONLY)
    keys = http.app.state.parts.keys

    def last_used():
        keys.note_uses()
        with store.read() as uow:
            return list_tokens(uow)[0].last_used_at

    assert last_used() is None
    http.get("/v1/studies", headers=bearer(token))
    first = clock.now
    assert last_used() == first
    clock.advance(USE_NOTED.total_seconds() - 1)
    http.get("/v1/studies", headers=bearer(token))
    assert last_used() == first
    clock.advance(1)
    http.get("/v1/studies", headers=bearer(token))
    assert last_used() == clock.now


def test_wrong_tokens_are_limited_by_address_and_a_right_one_still_passes(http, make):
    token = make()
    wrong = {"Authorization": f"Bearer sth_{token.id}_{43 * 'A'}"}
    for _ in range(10):
        refused(http.get("/v1/studies", headers=wrong), 401, "token_unknown")
    answer = refused(http.get("/v1/studies", headers=wrong), 429, "too_many_failures")
    assert 1 <= int(answer.headers["Retry-After"]) <= 6
    refused(http.post("/v1/session", json={"token": "guess"}), 429, "too_many_failures")
    assert http.get("/v1/studies", headers=bearer(token)).status_code == 200


def test_a_browser_gets_a_cookie_that_scripts_cannot_read_and_gives_it_back(http, make, clock):
    token = make(Scope.USER)
    answer = http.post("/v1/session", json={"token": f" {token.token}\n"}, headers=HOME_PAGE)
    assert answer.status_code == 201
    assert answer.json() == {"open": False, "name": "user", "scope": "user"}
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert token.token not in cookie
    assert http.get("/v1/session").json()["name"] == "user"
    assert http.get("/").status_code == 200
    assert http.delete("/v1/session", headers=HOME_PAGE).status_code == 204
    http.cookies.set("stillhouse_session", cookie.partition("=")[2].partition(";")[0])
    refused(http.get("/v1/session"), 401, "token_ended")


def test_a_session_ends_with_its_token(http, make, clock):
    admin, user = bearer(make()), make(Scope.USER)
    assert http.post("/v1/session", json={"token": user.token}).status_code == 201
    assert http.get("/v1/session").status_code == 200
    http.post(f"/v1/tokens/{user.id}:revoke", headers=admin)
    clock.advance(1)
    refused(http.get("/v1/session"), 401, "token_ended")


def test_a_session_ends_after_twelve_hours_and_is_forgotten(http, make, clock, store):
    token = make(Scope.USER)
    session = http.post("/v1/session", json={"token": token.token}).cookies["stillhouse_session"]
    http.cookies.clear()
    http.cookies.set("stillhouse_session", session)  # without the end that a browser knows
    clock.advance(12 * 3600 - 1)
    assert http.get("/v1/session").status_code == 200
    clock.advance(1)
    refused(http.get("/v1/session"), 401, "token_ended")
    http.cookies.clear()
    http.post("/v1/session", json={"token": token.token})
    with store.read() as uow:
        assert len(uow.tokens.everything()) == 2


def test_a_session_is_no_token_and_a_token_no_session(http, make):
    token = make()
    session = http.post("/v1/session", json={"token": token.token}).cookies["stillhouse_session"]
    http.cookies.clear()
    refused(http.get("/v1/studies", headers={"Authorization": f"Bearer {session}"}), 401, "token_unknown")
    http.cookies.set("stillhouse_session", token.token)
    refused(http.get("/v1/studies"), 401, "token_unknown")


def test_a_worker_opens_no_pages(http, make):
    refused(http.post("/v1/session", json={"token": make(Scope.WORKER).token}), 403, "scope_missing")


def test_a_cookie_under_tls_is_for_tls_only(settings, clock, make):
    token = make()
    with TestClient(create_app(settings, clock), base_url="https://testserver") as http:
        assert "Secure" in http.post("/v1/session", json={"token": token.token}).headers["set-cookie"]


def test_whoever_has_no_token_is_led_to_the_page_that_asks_for_one(http, make, clock):
    make()
    answer = http.get("/studies/demo?tab=1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/studies/demo%3Ftab%3D1")
    assert http.get("/login").status_code == 200


CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none", "Origin": "http://testserver"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "http://testserver:81"},
]


@pytest.mark.parametrize("headers", CROSS)
@pytest.mark.parametrize("closed", [False, True])
def test_pages_of_other_sites_change_nothing(http, make, headers, closed, spec):
    if closed:
        assert http.post("/v1/session", json={"token": make().token}).status_code == 201
    refused(http.post("/v1/studies", json={"spec": spec}, headers=headers), 403, "cross_site")
    refused(http.request("DELETE", "/v1/session", headers=headers), 403, "cross_site")
    assert http.get("/v1/studies").json() == []


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}])
def test_our_own_pages_may(http, make, headers, spec):
    assert http.post("/v1/session", json={"token": make(Scope.USER).token}, headers=headers).status_code == 201
    assert http.post("/v1/studies", json={"spec": spec}, headers=headers).status_code == 201


def test_a_cookie_alone_changes_nothing(http, make, spec):
    assert http.post("/v1/session", json={"token": make().token}).status_code == 201
    refused(http.post("/v1/studies", json={"spec": spec}), 403, "cross_site")
    plain = {"Content-Type": "text/plain", **HOME_PAGE}
    refused(http.post("/v1/studies", content=json.dumps({"spec": spec}), headers=plain), 415, "unsupported_media_type")


def test_a_token_in_a_header_is_nothing_that_a_browser_adds_by_itself(http, make, spec):
    headers = bearer(make()) | {"Sec-Fetch-Site": "cross-site"}
    assert http.post("/v1/studies", json={"spec": spec}, headers=headers).status_code == 201


def test_no_other_site_may_read(http):
    ask = {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    for answer in (http.options("/v1/studies", headers=ask), http.get("/v1/studies", headers=ask)):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/studies", "/v1/nowhere", "/", "/login", "/static/style.css", "/nowhere"])
def test_every_answer_tells_browsers_to_be_careful(http, path):
    headers = http.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-eval" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "server" not in headers


def test_other_machines_are_served_only_with_an_administrator(settings, store, make, caplog):
    outside = Settings(home=settings.home, database_url=settings.database_url, host="0.0.0.0")
    message = "is not loopback.*stillhouse token create --scope admin"
    with pytest.raises(SettingsError, match=message):
        check_reach(outside, store)
    make(Scope.WORKER)
    with pytest.raises(SettingsError, match=message):
        check_reach(outside, store)
    make()
    check_reach(outside, store)
    assert "speaks http" in caplog.text


def test_a_service_that_others_reach_is_never_open(settings, clock):
    outside = Settings(home=settings.home, database_url=settings.database_url, host="0.0.0.0")
    with TestClient(create_app(outside, clock)) as http:
        refused(http.get("/v1/studies"), 401, "token_needed")


def test_a_token_in_a_text_is_masked(make):
    token = make().token
    assert masked(f"got {token}.") == f"got sth_{token[4:12]}_***."
    assert masked("postgresql://me:pass@word@host/db?x=1") == "postgresql://me:***@host/db?x=1"
    assert masked("postgresql://host/db?user=me&password=secret&x=1") == "postgresql://host/db?user=me&password=***&x=1"
    assert masked("http://127.0.0.1:8787/studies/demo@1") == "http://127.0.0.1:8787/studies/demo@1"
