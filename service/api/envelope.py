"""What holds for every request and answer whatever they are about: how large a body may be, and how browsers treat
what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.errors import TooLargeError
from service.settings import Settings

UPLOADS = "/v1/artefacts/"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer that does not say otherwise. No header of CORS is among them: no other site may read anything."""

NOT_KEPT = "no-store"

_RAW = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_RAW_OF_API = (*_RAW, (b"cache-control", NOT_KEPT.encode()))


class Envelope:
    """Puts the headers on, and ends requests whose body is too large, also where it does not say how large it is."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._limit(scope["path"]))
        await self._app(scope, body.receive, body.send)

    def _limit(self, path: str) -> int:
        if path.startswith(UPLOADS):
            return self._settings.largest_artefact_bytes
        return self._settings.largest_message_bytes


class _Body:
    """One exchange. When the body proves too large the answer is given here, and the application hears that whoever
    asked has gone.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._read = 0
        self._begun = self._refused = False

    async def receive(self) -> Message:
        if self._refused:
            return {"type": "http.disconnect"}
        if self._read == 0 and _announced(self._scope) > self._limit:
            return await self._refuse()
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return message if self._read <= self._limit else await self._refuse()

    async def send(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._begun = True
            added = _RAW_OF_API if self._scope["path"].startswith("/v1/") else _RAW
            said = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in said)]
        await self._send(message)

    async def _refuse(self) -> Message:
        if not self._begun:
            error = TooLargeError(f"the body is larger than the {self._limit:,} bytes that are taken here")
            await problem(error.status, error.code, str(error))(self._scope, self._receive, self.send)
        self._refused = True
        return {"type": "http.disconnect"}


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
