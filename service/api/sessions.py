"""Sessions of browsers over HTTP: a token is exchanged for a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from protocol.tokens import Scope
from service.api.access import READ
from service.api.dependencies import Parts, PartsOf
from service.api.guard import COOKIE, client_address
from service.errors import ScopeError
from service.operations import tokens
from service.principal import Principal

router = APIRouter(tags=["sessions"])


class OpenSession(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Annotated[str, Field(max_length=200)]


class SessionView(BaseModel):
    """Who asks: a token's name and scope. `open` is a service that asks nobody for a token."""

    open: bool
    name: str
    scope: Scope


@router.get("/session")
async def get_session(request: Request) -> SessionView:
    """Whose token or session this request came with."""
    principal: Principal = request.state.principal
    return _view(principal)


@router.post("/session", status_code=201)
async def open_session(message: OpenSession, request: Request, parts: PartsOf, response: Response) -> SessionView:
    """Opens a session of twelve hours with a token, and hands it over as a cookie."""
    principal = await parts.keys.admit(message.token.strip(), client_address(request))
    if principal.scope not in READ:
        raise ScopeError(f"a token of scope {principal.scope} opens no pages; take one of scope {Scope.READ_ONLY}")
    session, lasts_s = await run_in_threadpool(_open, parts, principal)
    await parts.keys.reread()
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, session, max_age=lasts_s, secure=secure, httponly=True, samesite="strict")
    return _view(principal)


@router.delete("/session", status_code=204)
async def close_session(request: Request, parts: PartsOf) -> Response:
    """Ends the session, here and at every replica."""
    principal: Principal | None = request.state.principal
    if principal is not None and principal.has_session and principal.id is not None:
        await run_in_threadpool(_close, parts, principal.id)
        await parts.keys.reread()
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _view(principal: Principal) -> SessionView:
    return SessionView(open=principal.id is None, name=principal.name, scope=principal.scope)


def _open(parts: Parts, principal: Principal) -> tuple[str, int]:
    with parts.store.write() as uow:
        session, end = tokens.open_session(uow, principal.id or "")
        return session, int((end - uow.now).total_seconds())


def _close(parts: Parts, identity: str) -> None:
    with parts.store.write() as uow:
        tokens.close_session(uow, identity)
