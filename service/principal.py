"""Who asks, as every part of the web process sees it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from protocol.tokens import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. Without an `id` it is anybody on this machine, at a service that has no tokens."""

    id: str | None
    name: str
    scope: Scope
    parent: str | None = None
    """Of a session: the token that it was opened with."""

    @property
    def has_session(self) -> bool:
        return self.parent is not None


ANYBODY = Principal(id=None, name="anybody on this machine", scope=Scope.ADMIN)

PRESENT: ContextVar[Principal | None] = ContextVar("principal", default=None)
"""Of the request that is being answered; None is somebody without a token."""
