"""Whether the service is well."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.dependencies import ReadUnit

router = APIRouter(tags=["service"])


@router.get("/healthz")
def healthz(uow: ReadUnit) -> dict[str, str]:
    """Answers when the database does."""
    uow.jobs.demands()
    return {"status": "ok"}
