"""Problem details, as every refused request answers (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel

MEDIA_TYPE = "application/problem+json"

NOT_FOUND = "not_found"
"""Code of the problem that answers who names what is not there, or not any more: a job goes with its study."""

LEASE_LOST = "lease_lost"
"""Code of the problem that answers a worker whose job is no longer its own."""

UPGRADE_NEEDED = "upgrade_needed"
"""Code of the problem that answers a worker whose version of the protocol is not served."""

STUDY_DIFFERS = "study_differs"
"""Code of the problem that answers a study whose name is taken by a different one."""

SCOPE_MISSING = "scope_missing"
"""Code of the problem that answers a token that is known, but not for this."""

STORAGE_FULL = "storage_full"
"""Code of the problem that answers when the service has no room left."""

INVALID = "invalid"
"""Code of the problem that answers what cannot be understood; its errors are led by the key."""


class Problem(BaseModel):
    """`code` is stable and meant for programs, `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[str] = []
