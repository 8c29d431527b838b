"""Who comes in: every request passes here before anything of it is read."""

from __future__ import annotations

from math import ceil
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.mistakes import cut
from protocol.secrets import TOKEN_VARIABLE
from service.api.access import is_public, is_unguarded
from service.api.dependencies import Parts
from service.api.problems import problem
from service.errors import (
    CrossSiteError,
    MediaTypeError,
    RequestError,
    TokenError,
    TooManyFailuresError,
    UnknownHostError,
)
from service.principal import ANYBODY, PRESENT, Principal
from service.settings import HOSTS_VARIABLE

COOKIE = "stillhouse_session"
SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Finds out who asks, and leaves it in the request's state as `principal`: None is somebody without a token, who
    gets what is public.
    """

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            try:
                principal = await self._principal(request)
            except RequestError as error:
                await _refusal(request, error)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
            PRESENT.set(principal)
        await self._app(scope, receive, send)

    async def _principal(self, request: Request) -> Principal | None:
        if is_unguarded(request.scope["path"]):
            return None
        keys = self._parts.keys
        await keys.refresh()
        if keys.is_open:
            self._check_host(request)
            _check_site(request, with_cookie=False)
            return ANYBODY
        bearer, session = _bearer(request), request.cookies.get(COOKIE)
        if bearer is None:
            _check_site(request, with_cookie=session is not None)
        public = is_public(request.method, request.scope["path"])
        try:
            if bearer is not None:
                return await keys.admit(bearer, client_address(request))
            if session is not None:
                return await keys.admit(session, client_address(request), session=True)
        except (TokenError, TooManyFailuresError):
            if not public:
                raise
        if public:
            return None
        raise TokenError(
            f"this service asks for a token: send one as `Authorization: Bearer ...`, which {TOKEN_VARIABLE} makes"
            " workers, client and command line do; `stillhouse token create` on the service's machine makes one"
        )

    def _check_host(self, request: Request) -> None:
        """Refuses requests for other hosts: while whoever reaches the port may do everything, browsers would let a page
        of another site reach it whose name was made to lead here.
        """
        host = _hostname(request)
        if not self._parts.settings.answers_to(host):
            raise UnknownHostError(
                f"this service does not answer to {cut(host)!r}; a proxy's name goes into {HOSTS_VARIABLE}"
            )


def client_address(request: Request) -> str:
    """Where a request comes from; behind a trusted proxy, what that says."""
    return request.client.host if request.client is not None else ""


def _hostname(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:  # brackets that do not close, say
        return ""


def _bearer(request: Request) -> str | None:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" else None


def _check_site(request: Request, *, with_cookie: bool) -> None:
    """Refuses what a browser sends for a page of another site: it would add our cookie by itself, or reach a service on
    loopback that others cannot. What changes something must come from our own pages, and be JSON.

    Raises:
        CrossSiteError, MediaTypeError.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        ours = site == "same-origin"
    elif origin is not None:
        ours = origin.partition("://")[2] == request.headers.get("Host", "")
    else:
        ours = not with_cookie  # no browser
    if not ours:
        raise CrossSiteError("a page of another site asked for this")
    kind = request.headers.get("Content-Type", "application/json")
    if with_cookie and kind.partition(";")[0].strip().lower() != "application/json":
        raise MediaTypeError(f"pages send application/json, not {cut(kind)}")


def _refusal(request: Request, error: RequestError) -> Response:
    if isinstance(error, TokenError) and request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        query = request.scope["query_string"].decode("latin-1")
        place = request.scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"/login?next={quote(place, safe='/')}", 303)
    answer = problem(error.status, error.code, str(error), error.errors)
    if isinstance(error, TokenError):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="stillhouse"'
    if isinstance(error, TooManyFailuresError):
        answer.headers["Retry-After"] = str(ceil(error.wait_s))
    return answer
