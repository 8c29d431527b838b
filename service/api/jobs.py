"""Jobs over HTTP: what workers say."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from protocol.jobs import Grant, LeaseRequest, Release, Renewal, Renewed, Report
from protocol.log_fields import learned
from protocol.views import WorkerView
from service.api.dependencies import Parts, PartsOf, ReadUnit
from service.errors import DrainingError
from service.operations import jobs, views

router = APIRouter(tags=["jobs"])

JobId = Annotated[int, Path(ge=1, lt=2**63)]


@router.post(
    "/jobs:lease", response_model=Grant, responses={204: {"description": "No suitable job came up in the time given."}}
)
async def lease(message: LeaseRequest, request: Request, parts: PartsOf) -> Grant | Response:
    """Leases the oldest job that the worker can do, and waits for one if there is none.

    Waiting holds neither a thread nor a transaction.
    """
    if parts.drain.begun:
        raise DrainingError("this replica is about to end; ask again")
    learned(worker=message.worker)
    clock = asyncio.get_running_loop().time
    end = clock() + message.wait_s
    while True:
        grant = await run_in_threadpool(_lease, parts, message)
        if grant is not None:
            learned(job=grant.job, attempt=grant.attempt, study=grant.study, trial=grant.trial)
            return grant
        woken = await parts.watch.wait(message, end - clock())
        # A worker that is gone must not be given a job: it would be lost until its lease expires.
        if not woken or await request.is_disconnected():
            return Response(status_code=204)


@router.post("/jobs/{job}:renew")
def renew(job: JobId, message: Renewal, parts: PartsOf) -> Renewed:
    """Keeps the lease, and says whether the job is still wanted."""
    learned(attempt=message.attempt)
    with parts.store.write() as uow:
        return jobs.renew(uow, parts.settings, job, message)


@router.post("/jobs/{job}:report", status_code=200)
def report(job: JobId, message: Report, parts: PartsOf) -> dict[str, str]:
    """Ends the attempt. The same report may be sent any number of times."""
    learned(attempt=message.attempt)
    with parts.store.write() as uow:
        jobs.report(uow, parts.settings, job, message)
    return {}


@router.post("/jobs/{job}:release", status_code=200)
def release(job: JobId, message: Release, parts: PartsOf) -> dict[str, str]:
    """Gives the job back; the attempt does not count."""
    learned(attempt=message.attempt)
    with parts.store.write() as uow:
        jobs.release(uow, job, message)
    return {}


@router.get("/workers")
def workers(uow: ReadUnit) -> tuple[WorkerView, ...]:
    """Every worker that ever asked for a job."""
    return views.worker_views(uow)


def _lease(parts: Parts, message: LeaseRequest) -> Grant | None:
    with parts.store.write() as uow:
        return jobs.lease(uow, parts.settings, message)
