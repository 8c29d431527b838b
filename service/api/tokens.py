"""Tokens over HTTP, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from protocol.tokens import TOKEN_ID_PATTERN, CreatedToken, CreateToken, TokenView
from service.api.dependencies import PartsOf, ReadUnit
from service.errors import ScopeError
from service.operations import tokens

router = APIRouter(tags=["tokens"])

Identity = Annotated[str, Path(pattern=TOKEN_ID_PATTERN)]


@router.get("/tokens")
def list_tokens(uow: ReadUnit) -> tuple[TokenView, ...]:
    """Every token that there ever was, the newest first, without what is secret."""
    return tokens.list_tokens(uow)


@router.post("/tokens", status_code=201)
def create_token(message: CreateToken, request: Request, parts: PartsOf) -> CreatedToken:
    """Makes a token. The answer is the only place where it is ever shown."""
    if request.state.principal.id is None:
        # Else any program on the machine could shut out the one who runs the service.
        raise ScopeError("the first token is made with `stillhouse token create` on the service's machine")
    with parts.store.write() as uow:
        return tokens.create_token(uow, message)


@router.post("/tokens/{identity}:revoke")
def revoke_token(identity: Identity, parts: PartsOf) -> TokenView:
    """Ends a token and every session that was opened with it. May be sent any number of times."""
    with parts.store.write() as uow:
        return tokens.revoke_token(uow, identity)
