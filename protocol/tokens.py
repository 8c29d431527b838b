"""Access tokens, as the API takes and shows them. The token itself is shown once, to whoever created it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_LENGTH = 100
LONGEST_LIFE_DAYS = 3_650
TOKEN_ID_PATTERN = r"^[0-9a-f]{8}$"  # noqa: S105 (how ids look)


class Scope(StrEnum):
    """What the holder of a token may do; `service.api.access` says which request needs which."""

    ADMIN = "admin"
    """Everything, tokens included."""
    USER = "user"
    """Start, steer and read studies; work on trials with one's own code."""
    WORKER = "worker"
    """Lease jobs, report on them, and carry artefacts."""
    READ_ONLY = "read-only"
    """Read."""


class TokenState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"must be of characters that can be shown on one line, got {name[:NAME_LENGTH]!r}")
    return name


class CreateToken(BaseModel):
    """`days` is how long it is good for; without it, until it is revoked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"\S"), AfterValidator(_printable)]
    scope: Scope
    days: Annotated[float, Field(gt=0, le=LONGEST_LIFE_DAYS)] | None = None


class TokenView(BaseModel):
    """`id` is the part of the token that is no secret. `last_used_at` lags behind by up to ten minutes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    name: str
    scope: Scope
    state: TokenState
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedToken(TokenView):
    token: str
