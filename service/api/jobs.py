"""Jobs over HTTP: what workers say."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from protocol.jobs import Grant, LeaseRequest, Release, Renewal, Renewed, Report, refusal
from protocol.log_fields import learned
from protocol.views import JobView, WorkerView
from service.api.dependencies import Parts, PartsOf, ReadUnit
from service.api.documentation import refusals
from service.api.lists import LINK, Cursor, Limit, sent
from service.errors import DrainingError, UpgradeNeededError
from service.operations import jobs, views
from service.operations.audit import audited, job_view
from service.operations.paging import MOST

router = APIRouter(tags=["jobs"])

JobId = Annotated[int, Path(ge=1, lt=2**63)]
LOST = refusals(lease_lost="The job is no longer this attempt's.")


async def check_version(request: Request) -> None:
    """Looked at before the rest of a request is read: a worker of another version may use words that this one has not.

    Raises:
        UpgradeNeededError.
    """
    try:
        values = await request.json()
    except ValueError:
        return  # what is no JSON is refused as such
    version = values.get("protocol_version") if isinstance(values, dict) else None
    refused = refusal(version) if isinstance(version, int) else None
    if refused is not None:
        raise UpgradeNeededError(refused)


@router.post(
    "/jobs:lease",
    response_model=Grant,
    responses={
        204: {"description": "No suitable job came up in the time given."},
        **refusals(upgrade_needed="A worker of this version is not served; the detail says which is older."),
    },
    dependencies=[Depends(check_version)],
)
async def lease(message: LeaseRequest, request: Request, parts: PartsOf) -> Response:
    """Leases the job whose turn it is among those that the worker can do, and waits for one if there is none.

    Waiting holds neither a thread nor a transaction.
    """
    if parts.drain.begun:
        raise DrainingError("this replica is about to end; ask again")
    learned(worker=message.worker)
    clock = asyncio.get_running_loop().time
    end = clock() + message.wait_s
    # While others wait there is seldom a job for one more, and nobody should queue for the only writer to hear so.
    looks_first = parts.store.has_one_writer and parts.watch.is_waited_for
    while True:
        grant = None
        if not looks_first or not await parts.writers.look(partial(_has_nothing, parts, message)):
            grant = await parts.writers.do(partial(_lease, parts, message))
        looks_first = False
        if grant is not None:
            learned(job=grant.job, attempt=grant.attempt, study=grant.study, trial=grant.trial)
            return _json(grant)
        woken = await parts.watch.wait(message, end - clock())
        # A worker that is gone must not be given a job: it would be lost until its lease expires.
        if not woken or await request.is_disconnected():
            return Response(status_code=204)


@router.post("/jobs/{job}:renew", response_model=Renewed, responses=LOST)
async def renew(job: JobId, message: Renewal, parts: PartsOf) -> Response:
    """Keeps the lease, and says whether the job is still wanted."""
    learned(attempt=message.attempt)
    return _json(await parts.writers.do(partial(_renew, parts, job, message)))


@router.post("/jobs/{job}:report", status_code=200, response_model=dict[str, str], responses=LOST)
async def report(job: JobId, message: Report, parts: PartsOf) -> Response:
    """Ends the attempt. The same report may be sent any number of times."""
    learned(attempt=message.attempt)
    await parts.writers.report(partial(_report, parts, job, message))
    return _nothing()


@router.post("/jobs/{job}:release", status_code=200, response_model=dict[str, str], responses=LOST)
async def release(job: JobId, message: Release, parts: PartsOf) -> Response:
    """Gives the job back; the attempt does not count."""
    learned(attempt=message.attempt)
    await parts.writers.do(partial(_release, parts, job, message))
    return _nothing()


@router.get("/jobs/{job}")
def get_job(job: JobId, uow: ReadUnit) -> JobView:
    """A job with its attempts, and the writes about it that were refused."""
    return job_view(uow, job)


@router.get("/workers", responses={200: {"headers": LINK}})
def workers(
    uow: ReadUnit, request: Request, response: Response, limit: Limit = MOST, cursor: Cursor = None
) -> tuple[WorkerView, ...]:
    """Workers that ever asked for a job, by name."""
    return sent(views.worker_page(uow, limit, cursor), request, response)


def _has_nothing(parts: Parts, message: LeaseRequest) -> bool:
    with parts.store.read() as uow:
        return jobs.has_nothing(uow, message)


def _lease(parts: Parts, message: LeaseRequest) -> Grant | None:
    with parts.store.write() as uow:
        return jobs.lease(uow, parts.settings, message)


def _renew(parts: Parts, job: int, message: Renewal) -> Renewed:
    with audited(parts.store, job, message) as uow:
        return jobs.renew(uow, parts.settings, job, message)


def _report(parts: Parts, job: int, message: Report) -> None:
    with audited(parts.store, job, message) as uow:
        jobs.report(uow, parts.settings, job, message)


def _release(parts: Parts, job: int, message: Release) -> None:
    with audited(parts.store, job, message) as uow:
        jobs.release(uow, job, message)


def _json(answer: Grant | Renewed) -> Response:
    """As its model says it: it was checked when it was made."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _nothing() -> Response:
    return Response(b"{}", media_type="application/json")
