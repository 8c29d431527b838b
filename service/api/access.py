"""Who may do what: every route of the application and the scopes of the tokens that it takes.

A route that is not named here takes an administrator's token only, and `tests/service/test_access.py` fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from protocol.tokens import Scope
from service.errors import ScopeError, TokenError
from service.principal import Principal

Scopes = frozenset[Scope] | None
"""None is anybody, also without a token."""

ADMIN = frozenset({Scope.ADMIN})
USE = frozenset({Scope.ADMIN, Scope.USER})
WORK = frozenset({Scope.ADMIN, Scope.WORKER})
READ = frozenset({Scope.ADMIN, Scope.USER, Scope.READ_ONLY})
CARRY = frozenset({Scope.ADMIN, Scope.USER, Scope.WORKER})
FETCH = frozenset(Scope)

ACCESS: Mapping[str, Scopes] = {
    "GET /v1/studies": READ,
    "POST /v1/studies": USE,
    "GET /v1/studies/{name}": READ,
    "GET /v1/studies/{name}/trials": READ,
    "GET /v1/studies/{name}/trials/{number}": READ,
    "GET /v1/studies/{name}/front": READ,
    "GET /v1/studies/{name}/events": READ,
    "GET /v1/studies/{name}/export": READ,
    "GET /v1/studies/{name}/history": READ,
    "GET /v1/studies/{name}/importance": READ,
    "GET /v1/studies/{name}/points": READ,
    "GET /v1/studies/{name}/trials/{number}/curves": READ,
    "GET /v1/studies/{name}/trials/{number}/measurements": READ,
    "POST /v1/studies/{name}/trials:ask": USE,
    "POST /v1/studies/{name}/trials/{number}:tell": USE,
    "POST /v1/studies/{name}:stop": USE,
    "POST /v1/studies/{name}:resume": USE,
    "POST /v1/studies/{name}:extend": USE,
    "DELETE /v1/studies/{name}": USE,
    "POST /v1/preview": READ,
    "GET /v1/events": READ,
    "GET /v1/devices": READ,
    "GET /v1/calibrations": READ,
    "GET /v1/calibrations/{identity}": READ,
    "POST /v1/calibrations": USE,
    "GET /v1/workers": READ,
    "GET /v1/jobs/{job}": READ,
    "POST /v1/jobs:lease": WORK,
    "POST /v1/jobs/{job}:renew": CARRY,
    "POST /v1/jobs/{job}:report": WORK,
    "POST /v1/jobs/{job}:release": CARRY,
    "GET /v1/artefacts/{sha256}": FETCH,
    "HEAD /v1/artefacts/{sha256}": FETCH,
    "PUT /v1/artefacts/{sha256}": CARRY,
    "GET /v1/tokens": ADMIN,
    "POST /v1/tokens": ADMIN,
    "POST /v1/tokens/{identity}:revoke": ADMIN,
    "GET /v1/session": FETCH,
    "POST /v1/session": None,
    "DELETE /v1/session": None,
    "GET /v1/healthz": None,
    "GET /metrics": READ,
    "GET /": READ,
    "GET /login": None,
    "GET /new": READ,
    "GET /workers": READ,
    "GET /devices": READ,
    "GET /studies/{name}": READ,
    "GET /studies/{name}/compare": READ,
    "GET /studies/{name}/trials/{number}": READ,
}

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "`token_needed`, `token_unknown`, `token_ended`: the service is not open to this request."},
    403: {"description": "`scope_missing`: the token is not for this. `cross_site`: a page of another site asked."},
    413: {"description": "The body is larger than the service takes."},
    429: {"description": "Too many wrong tokens came from this address; wait for `Retry-After` seconds."},
}
"""What the gate answers to any request, for the API's description."""

PROBES = ("/healthz", "/readyz")
"""They say no more than whether the process lives and is ready, to any host, also while the store cannot be read."""

PUBLIC_FOLDER = "/static/"
"""Below it lie the pages' scripts and styles, which hold nothing of anybody's."""

Endpoint = Callable[..., Any]


def is_unguarded(path: str) -> bool:
    """Whether nobody asks who asks."""
    return path in PROBES or path.startswith(PUBLIC_FOLDER)


def is_public(method: str, path: str) -> bool:
    """Whether the request needs no token. Such routes have no parameters in their paths."""
    return is_unguarded(path) or ACCESS.get(f"{method} {path}", ADMIN) is None


def declared(app: FastAPI) -> dict[Endpoint, Scopes]:
    """The scopes that each endpoint of the application takes."""
    return {
        route.endpoint: ACCESS.get(f"{method} {route.path}", ADMIN)
        for route in iter_route_contexts(app.routes)
        if route.endpoint is not None
        for method in route.methods or ()
    }


async def check_access(request: Request) -> None:
    """Refuses who may not do this.

    Raises:
        TokenError: there was no token. ScopeError: its scope is another one.
    """
    scopes = request.app.state.access.get(request.scope["endpoint"], ADMIN)
    principal: Principal | None = request.scope["state"]["principal"]
    if scopes is None:
        return
    if principal is None:
        raise TokenError("this needs a token")
    if principal.scope not in scopes:
        able = ", ".join(scope for scope in Scope if scope in scopes)
        raise ScopeError(f"a token of scope {principal.scope} may not do this; it takes one of scope {able}")
