"""Every refusal as problem details (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from protocol.log_fields import about
from protocol.mistakes import cut, explained
from protocol.problem import INVALID, MEDIA_TYPE, Problem
from service.errors import RequestError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1


def install(app: FastAPI, unknown_page: Callable[[str], Response]) -> None:
    """Makes every error of the application leave as a problem; but browsers get a page where there is none."""
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, partial(_http, unknown_page))
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, code: str, detail: str, errors: Sequence[str] = ()) -> Response:
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, errors=list(errors))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(body.model_dump_json(), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def refused(error: RequestError) -> Response:
    return problem(error.status, error.code, str(error), error.errors)


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    return refused(error)


async def _malformed(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(422, INVALID, f"the request's body is not JSON: {first['ctx']['error']}")
    if isinstance(first.get("input"), bytes):
        given = request.headers.get("Content-Type", "nothing")
        return problem(415, "unsupported_media_type", f"the body must be sent as application/json, not as {cut(given)}")
    lines = [str(mistake) for mistake in explained(error.errors(), skip=1)]  # the first part says `body` or `path`
    return problem(422, INVALID, f"the request is malformed: {lines[0]}", lines)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Whoever asked hung up; nobody reads this."""
    return problem(400, "disconnected", "the connection broke off before the request was complete")


async def _http(unknown_page: Callable[[str], Response], request: Request, error: Exception) -> Response:
    """What the framework refuses itself: unknown paths and methods."""
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    if error.status_code == 404 and "text/html" in request.headers.get("Accept", "") and not path.startswith("/v1/"):
        return unknown_page(path)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    answer = problem(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> Response:
    # Outside of everything else, so that the request's number is no longer known by itself.
    identity = getattr(request.state, "request_id", None)
    with about(request=identity):
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "internal", f"the service failed at this request; its log says how, request {identity}")
