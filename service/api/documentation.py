"""The OpenAPI document: what FastAPI tells of the routes, and what is the same of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from protocol.events import EventData
from protocol.problem import MEDIA_TYPE, Problem
from protocol.tokens import Scope
from service.api.access import ACCESS, ADMIN
from service.api.examples import EXAMPLES
from service.api.guard import COOKIE

PROBLEM = "#/components/schemas/Problem"

EVERYWHERE = {
    400: "The request cannot be read.",
    421: "The request names a host that this service does not answer to.",
    422: "Something in the request cannot be used; `errors` has a line for each, led by its key.",
    500: "The service failed at this request.",
    503: "The database does not answer, or is busy for too long; send it again after `Retry-After`.",
}
OF_PATHS = {404: "There is nothing of this name or number."}
OF_BODIES = {415: "The body is not sent as application/json."}
OF_CHANGES = {415: "The body is not sent as application/json, which a browser with a session must do."}
OF_WRITES = {507: "There is no room left."}

TOKEN, SESSION = "token", "session"
SCHEMES = {
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, from `stillhouse token create`. `x-scopes` of an operation are those of the "
        "tokens that it takes. A service on loopback that never had a token is open: it asks for none.",
    },
    SESSION: {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "What `POST /v1/session` gives a browser for a token: the token's scope, for twelve hours.",
    },
}

DESCRIPTION = """
Studies are searched by workers, that lease jobs; see the guides of the repository.

A token, or in a browser a session, says who asks; an operation without `security` is anybody's. Every refusal is a
problem (RFC 9457) whose `code` is stable and meant for programs. Instants are in UTC, latencies in
seconds. Lists come in pages: where more follows, the header `Link` names the next page.
"""

Document = dict[str, Any]


def refusals(**codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses of a route beside those that all have: `refusals(study_running="It is worked on.")`, all of 409."""
    words = " ".join(f"`{code}`: {text}" for code, text in codes.items())
    return {409: {"description": words}}


def operation_id(route: APIRoute) -> str:
    """`studies_create`: unique and readable, for clients that are generated."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def document(app: FastAPI) -> None:
    """Makes the application's OpenAPI document complete."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
            app.openapi_schema = completed(made)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def completed(made: Document) -> Document:
    """The document with summaries, who may ask, every refusal as a problem, and examples."""
    for path, method, operation in _operations(made):
        operation["summary"] = _first_sentence(str(operation.get("description", operation["operationId"])))
        operation |= _security(path, method)
        for status, words in _statuses(path, method, operation).items():
            operation["responses"].setdefault(str(status), {"description": words})
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                _make_problem(int(status), response)
    made.setdefault("components", {})["securitySchemes"] = SCHEMES
    schemas = made["components"].setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, EventData):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schemas[model.__name__].pop("$defs", {})
    for name, examples in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = examples
    return made


def _operations(made: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _security(path: str, method: str) -> Document:
    scopes = ACCESS.get(f"{method.upper()} {path}", ADMIN)
    if scopes is None:
        return {"security": []}
    return {"security": [{TOKEN: []}, {SESSION: []}], "x-scopes": [str(scope) for scope in Scope if scope in scopes]}


def _statuses(path: str, method: str, operation: Document) -> Mapping[int, str]:
    found = dict(EVERYWHERE)
    if "{" in path:
        found |= OF_PATHS
    if method in ("post", "put", "delete"):
        found |= OF_WRITES | OF_CHANGES
    if method == "head":  # it notes who asked for the artefact
        found |= OF_WRITES
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        found |= OF_BODIES
    return dict(sorted(found.items()))


def _make_problem(status: int, response: Document) -> None:
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and response.get("description") == "Validation Error":
        response["description"] = EVERYWHERE[status]
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": response["description"],
        "code": _code(status, response["description"]),
        "errors": [],
    }
    response["content"] = {MEDIA_TYPE: {"schema": {"$ref": PROBLEM}, "example": example}}


_CODES = {
    404: "not_found",
    415: "unsupported_media_type",
    421: "unknown_host",
    422: "invalid",
    500: "internal",
    503: "store_unavailable",
    507: "storage_full",
}


def _code(status: int, description: str) -> str:
    """The first that the description names, else what stands for the status."""
    named = re.match("`([a-z_]+)`", description)
    return named[1] if named else _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))


def _first_sentence(description: str) -> str:
    """Of a docstring, without its full stop."""
    text = " ".join(description.split())
    return text.split(". ")[0].rstrip(".")
