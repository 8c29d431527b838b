"""Problem details, as every refused request answers (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """`code` is stable and meant for programs, `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[str] = []
