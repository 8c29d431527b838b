"""Tokens are made, shown and revoked; a session is a token that a browser holds in place of its parent."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from protocol.mistakes import cut
from protocol.tokens import CreatedToken, CreateToken, Scope, TokenState, TokenView
from service.errors import InvalidError, NotFoundError
from service.store.tables import TokenRow
from service.store.unit_of_work import UnitOfWork

SECRET_BYTES = 32
SESSION_LIFE = timedelta(hours=12)


def create_token(uow: UnitOfWork, message: CreateToken) -> CreatedToken:
    """The token, which nobody can be shown again.

    Raises:
        InvalidError: one of this name is in use.
    """
    taken = next((row for row in uow.tokens.all() if row.name == message.name and _is_active(row, uow.now)), None)
    if taken is not None:
        raise InvalidError(
            f"token {taken.id} has the name {cut(message.name)!r} and is in use: revoke it, or choose another name"
        )
    life = None if message.days is None else timedelta(days=message.days)
    row, token = _made(message.name, message.scope, uow.now, None if life is None else uow.now + life)
    uow.tokens.add(row)
    return CreatedToken(**_view(row, uow.now).model_dump(), token=token)


def list_tokens(uow: UnitOfWork) -> tuple[TokenView, ...]:
    """Every token, the newest first; none is ever forgotten."""
    return tuple(_view(row, uow.now) for row in uow.tokens.all())


def revoke_token(uow: UnitOfWork, identity: str) -> TokenView:
    """Ends it and its sessions; may be done any number of times.

    Raises:
        NotFoundError: there is none.
    """
    row = uow.tokens.find(identity)
    if row is None or row.parent is not None:
        raise NotFoundError(f"there is no token {cut(identity)!r}")
    row.revoked_at = row.revoked_at or uow.now
    uow.tokens.revoke_sessions(row.id, uow.now)
    return _view(row, uow.now)


def prolong_token(uow: UnitOfWork, identity: str, life: timedelta) -> None:
    """Lets a token that is good stay so for `life` from now."""
    row = uow.tokens.find(identity)
    if row is not None and row.parent is None and _is_active(row, uow.now):
        row.expires_at = uow.now + life


def open_session(uow: UnitOfWork, parent: str) -> tuple[str, datetime]:
    """What the browser holds instead of the token, and until when.

    Raises:
        NotFoundError: the token has just ended.
    """
    row = uow.tokens.find(parent)
    if row is None or not _is_active(row, uow.now):
        raise NotFoundError("this token has just ended")
    uow.tokens.forget_sessions(uow.now)
    end = uow.now + SESSION_LIFE
    end = end if row.expires_at is None else min(end, row.expires_at)
    session, token = _made(row.name, row.scope, uow.now, end)
    session.parent = row.id
    uow.tokens.add(session)
    return token, end


def close_session(uow: UnitOfWork, identity: str) -> None:
    row = uow.tokens.find(identity)
    if row is not None and row.parent is not None:
        row.revoked_at = row.revoked_at or uow.now


def has_admin(rows: Sequence[TokenRow], now: datetime) -> bool:
    """Whether somebody can manage the service over the network."""
    return any(row.scope is Scope.ADMIN and row.parent is None and _is_active(row, now) for row in rows)


def state_of(row: TokenRow, now: datetime) -> TokenState:
    if row.revoked_at is not None:
        return TokenState.REVOKED
    return TokenState.EXPIRED if row.expires_at is not None and row.expires_at <= now else TokenState.ACTIVE


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _made(name: str, scope: Scope, now: datetime, end: datetime | None) -> tuple[TokenRow, str]:
    identity = secrets.token_hex(4)
    token = f"sth_{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"
    row = TokenRow(id=identity, name=name, scope=scope, digest=digest_of(token), created_at=now, expires_at=end)
    return row, token


def _is_active(row: TokenRow, now: datetime) -> bool:
    return state_of(row, now) is TokenState.ACTIVE


def _view(row: TokenRow, now: datetime) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        scope=row.scope,
        state=state_of(row, now),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
