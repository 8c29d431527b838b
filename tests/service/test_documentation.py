import importlib
import inspect

import pytest
from pydantic import BaseModel

from protocol.problem import MEDIA_TYPE, Problem
from protocol.tokens import Scope
from service.api.access import ACCESS
from service.api.documentation import PROBLEM
from service.api.examples import EXAMPLES
from service.api.guard import COOKIE
from service.app import create_app
from service.settings import Settings, sqlite_url

MODULES = (
    "protocol.views",
    "protocol.jobs",
    "protocol.events",
    "protocol.changes",
    "protocol.plots",
    "protocol.tokens",
    "service.api.sessions",
)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return create_app(Settings(home=home, database_url=sqlite_url(home)))


@pytest.fixture(scope="module")
def made(app):
    return app.openapi()


@pytest.fixture(scope="module")
def operations(made):
    return {
        f"{method.upper()} {path}": operation
        for path, methods in made["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_says_what_it_is(operations):
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    for name, operation in operations.items():
        assert operation["tags"], name
        assert operation["operationId"].startswith(operation["tags"][0]), name
        assert 5 < len(operation["summary"]) < 200, name
        assert operation["description"], name


def test_every_refusal_is_a_problem_with_an_example(operations):
    for name, operation in operations.items():
        assert {"400", "421", "422", "500", "503"} <= operation["responses"].keys(), name
        assert ("404" in operation["responses"]) >= ("{" in name), name
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if status >= "400":
                (kind,) = response["content"]
                assert kind == MEDIA_TYPE
                assert response["content"][kind]["schema"] == {"$ref": PROBLEM}
                assert Problem.model_validate(response["content"][kind]["example"]).status == int(status)


def test_a_conflict_is_shown_with_its_own_code(operations):
    def codes(name):
        return operations[name]["responses"]["409"]["content"][MEDIA_TYPE]["example"]["code"]

    assert codes("POST /v1/jobs/{job}:renew") == "lease_lost"
    assert codes("POST /v1/jobs:lease") == "upgrade_needed"
    assert codes("POST /v1/studies") == "study_differs"
    assert codes("DELETE /v1/studies/{name}") == "study_running"


def test_every_operation_says_who_may_ask_and_how(made, operations):
    schemes = made["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme", each.get("name"))) for each in schemes.values()} == {
        ("http", "bearer"),
        ("apiKey", COOKIE),
    }
    for name, operation in operations.items():
        scopes = ACCESS[name]
        if scopes is None:
            assert operation["security"] == [], name
            continue
        assert operation["security"] == [{each: []} for each in schemes], name
        assert {Scope(each) for each in operation["x-scopes"]} == scopes, name
        assert {"401", "403", "429"} <= operation["responses"].keys(), name


def test_every_answer_has_a_schema(operations):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status < "400" and status != "204" and not name.startswith(("HEAD", "PUT")):
                assert response["content"], (name, status)
                for kind, content in response["content"].items():
                    assert content.get("schema") or kind != "application/json", (name, status)


def test_no_reference_leads_nowhere(made):
    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert set(references(made)) <= known


def test_bodies_have_examples_that_can_be_sent(made, operations):
    for name, operation in operations.items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in body:
            schema = made["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            assert schema.get("examples") or name.endswith("/v1/calibrations"), name


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_what_they_stand_for(name):
    models = {
        each: value
        for module in MODULES
        for each, value in inspect.getmembers(importlib.import_module(module), inspect.isclass)
        if issubclass(value, BaseModel)
    }
    for example in EXAMPLES[name]:
        models[name].model_validate(example)
