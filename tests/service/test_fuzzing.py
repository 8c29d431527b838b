"""Schemathesis over the API's own description, without tokens, with one of each scope and as a page in a browser:
whatever is sent, no answer is a 5xx, and none is of a status or kind that the description does not know.
"""

import json

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from protocol.tokens import CreateToken, Scope
from service.api.guard import COOKIE
from service.app import create_app
from service.operations.tokens import create_token, open_session
from service.settings import Settings, sqlite_url

pytestmark = pytest.mark.fuzz

EXAMPLES = 25
"""Requests to each operation, half of them such as the description allows."""

OPEN, PAGE = "open", "page"


@pytest.fixture(scope="module", params=[OPEN, PAGE, *Scope])
def service(request, tmp_path_factory):
    """The application, and what makes the headers of who asks it: of a page with a new session each time, because one
    of the operations ends it.
    """
    home = tmp_path_factory.mktemp(f"fuzz-{request.param}")
    app = create_app(Settings(home=home, database_url=sqlite_url(home), hosts=("testserver",)))
    parts = app.state.parts
    scope = Scope.USER if request.param == PAGE else request.param
    if request.param != OPEN:
        with parts.store.write() as uow:
            token = create_token(uow, CreateToken(name="fuzz", scope=Scope(scope)))
            create_token(uow, CreateToken(name="other", scope=Scope.ADMIN))
        parts.keys.read()

    def headers():
        if request.param == OPEN:
            return {}
        if request.param != PAGE:
            return {"Authorization": f"Bearer {token.token}"}
        with parts.store.write() as uow:
            session, _ = open_session(uow, token.id)
        parts.keys.read()
        return {"Cookie": f"{COOKIE}={session}", "Sec-Fetch-Site": "same-origin"}

    parts.events.close()  # streams of events end at once
    yield app, headers
    parts.store.close()


def test_the_service_keeps_its_word(service):
    app, headers = service
    assert TestClient(app).get("/v1/session", headers=headers()).status_code == 200, "nothing would be reached"
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=headers())
    broken = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        mistakes = _mistakes(operation, headers())
        if mistakes:
            broken[operation.label] = sorted(mistakes)
    assert broken == {}, json.dumps(broken, indent=2)


def _mistakes(operation, headers):
    """What went wrong, each once."""
    mistakes = set()
    cases = st.one_of(operation.as_strategy(GenerationMode.POSITIVE), operation.as_strategy(GenerationMode.NEGATIVE))

    @seed(0)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case):
        answer = _sent(case, headers)
        for check in (not_a_server_error, status_code_conformance, content_type_conformance):
            try:
                case.validate_response(answer, checks=[check])
            except AssertionError as error:
                mistakes.add(str(error).splitlines()[0] + f" ({answer.status_code})")
            except BaseExceptionGroup as errors:
                mistakes.update(f"{each.title} ({answer.status_code})" for each in errors.exceptions)

    ask()
    return mistakes


def _sent(case, headers):
    """The answer to a generated request; one that waits for a job does not wait long."""
    if isinstance(case.body, dict) and "wait_s" in case.body:
        case.body["wait_s"] = 0
    return case.call(headers=headers)
