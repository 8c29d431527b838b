"""Each request has a number, a line in the log, and is timed."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.log_fields import about, learned
from service.api.drain import Drain
from service.api.metrics_registry import Metrics

logger = logging.getLogger(__name__)

HEADER = "X-Request-Id"
API = "/v1"
PROBES = ("/healthz", "/readyz")
UNMATCHED = "unmatched"
"""The route of what is no path of ours: a name of its own for each would have no end."""

_SANE = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_QUIET = ("GET", "HEAD", "OPTIONS")
_NAMES = {"job": "job", "name": "study", "number": "trial"}
"""Parameters of paths -> what a line is about."""


class Requests:
    """Around the whole application. A request may bring a number of its own, from a proxy in front."""

    def __init__(self, app: ASGIApp, metrics: Metrics, drain: Drain) -> None:
        self._app, self._metrics, self._drain = app, metrics, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        identity = _identity(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = identity
        answered: list[tuple[int, float]] = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append((message["status"], time.perf_counter() - began_s))
                headers = MutableHeaders(scope=message)
                headers[HEADER] = identity
                if self._drain.begun:
                    headers["Connection"] = "close"  # the next request finds another replica
            await send(message)

        with about(request=identity):
            try:
                await self._app(scope, receive, answer)
            finally:
                status, seconds = answered[0] if answered else (500, time.perf_counter() - began_s)
                self._metrics.answered(scope["method"], _route(scope), status, seconds)
                _log(scope, status, seconds)


def _identity(headers: Headers) -> str:
    given = headers.get(HEADER, "")
    return given if _SANE.fullmatch(given) else uuid.uuid4().hex


def _route(scope: Scope) -> str:
    """The template of the path: those of the API are told without what they stand below."""
    route = scope.get("route")
    if route is None:
        return str(scope["path"]) if scope["path"] in PROBES else UNMATCHED
    template = str(route.path)
    below = API if scope["path"].startswith(f"{API}/") and not template.startswith(API) else ""
    return below + template


def _log(scope: Scope, status: int, seconds: float) -> None:
    level = logging.WARNING if status >= 500 else logging.DEBUG if scope["method"] in _QUIET else logging.INFO
    if not logger.isEnabledFor(level):
        return
    known = scope.get("path_params", {})
    learned(**{name: known[key] for key, name in _NAMES.items() if key in known})
    logger.log(level, "%s %s: %d in %.0f ms", scope["method"], scope["path"], status, 1e3 * seconds)
