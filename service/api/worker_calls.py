"""What workers say, past the framework: it takes longer to route and to check such a request than the service does to
answer it, and no other comes as often.

The routes are the framework's own, with their documentation, and the same functions answer. Whatever is not what a
worker says (another kind of body, or one that is no such message) goes on to the framework, which says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.jobs import LeaseRequest, Release, Renewal, Report
from service.api import jobs
from service.api.access import check_access
from service.api.dependencies import Parts
from service.api.problems import refused
from service.errors import RequestError

PATH = re.compile(r"/v1/jobs(?:/([1-9][0-9]{0,17}))?:([a-z]+)", re.ASCII)
"""Numbers that a database has room for; of others the framework says so."""

Answer = Callable[[Parts, Request, int, Any], Awaitable[Response]]


async def _lease(parts: Parts, request: Request, _job: int, message: LeaseRequest) -> Response:
    return await jobs.lease(message, request, parts)


async def _renew(parts: Parts, _request: Request, job: int, message: Renewal) -> Response:
    return await jobs.renew(job, message, parts)


async def _report(parts: Parts, _request: Request, job: int, message: Report) -> Response:
    return await jobs.report(job, message, parts)


async def _release(parts: Parts, _request: Request, job: int, message: Release) -> Response:
    return await jobs.release(job, message, parts)


CALLS: dict[tuple[bool, str], tuple[type[BaseModel], Answer, Callable[..., Any]]] = {
    (False, "lease"): (LeaseRequest, _lease, jobs.lease),
    (True, "renew"): (Renewal, _renew, jobs.renew),
    (True, "report"): (Report, _report, jobs.report),
    (True, "release"): (Release, _release, jobs.release),
}
"""By whether a job is named, and the verb: the message, what answers it, and the endpoint that this is of."""

_ROUTES = {getattr(route, "endpoint", None): route for route in jobs.router.routes}


class WorkerCalls:
    """Stands before the framework, behind what looks who asks and how much is sent."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        call = None if found is None else CALLS.get((found[1] is not None, found[2]))
        if found is None or call is None or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        first = await receive()
        message = _read(call[0], first)
        if message is None:
            await self._app(scope, _again(first, receive), send)
            return
        endpoint, job = call[2], found[1]
        named = {} if job is None else {"job": job}
        scope.update(endpoint=endpoint, route=_ROUTES[endpoint], path_params=named)  # as the framework's router does
        request = Request(scope, receive)
        try:
            await check_access(request)
            answer = await call[1](self._parts, request, int(job or 0), message)
        except RequestError as error:
            answer = refused(error)
        await answer(scope, receive, send)


def _is_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return kinds == [b"application/json"]


def _read(model: type[BaseModel], first: Message) -> BaseModel | None:
    """The message; None where there is no whole one, or none of its kind."""
    if first["type"] != "http.request" or first.get("more_body", False):
        return None
    try:
        return model.model_validate_json(first.get("body", b""))
    except ValidationError:
        return None


def _again(first: Message, receive: Receive) -> Receive:
    """Receives what was received already, and then what follows."""
    kept = [first]

    async def receive_again() -> Message:
        return kept.pop() if kept else await receive()

    return receive_again
