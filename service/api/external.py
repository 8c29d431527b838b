"""External trials over HTTP: ask and tell, for those who train and measure with code of their own."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from protocol.jobs import Ask, Tell
from protocol.log_fields import learned
from protocol.views import AskedView, ToldView
from service.api.dependencies import Parts, PartsOf
from service.api.documentation import refusals
from service.errors import DrainingError
from service.operations import external

router = APIRouter(tags=["external"])

LOOK_S = 2.0
"""How long whoever waits may take to learn that the study has ended."""


NOT_EXTERNAL = "The study evaluates its trials itself."


@router.post("/studies/{name}/trials:ask", responses=refusals(not_external=NOT_EXTERNAL))
async def ask(name: str, message: Ask, request: Request, parts: PartsOf) -> AskedView:
    """Hands out pending trials, and waits for one if there is none. Renew and release them as jobs.

    Empty where none came up in the time given, or the study has ended: `state` says which.
    """
    if parts.drain.begun:
        raise DrainingError("this replica is about to end; ask again")
    learned(worker=message.worker, study=name)
    clock = asyncio.get_running_loop().time
    end = clock() + message.wait_s
    study = await run_in_threadpool(_study, parts, name)
    while True:
        asked = await run_in_threadpool(_ask, parts, name, message)
        left_s = end - clock()
        if asked.trials or asked.state.ended or left_s <= 0:
            return asked
        await parts.watch.wait(external.lease_request(message), min(left_s, LOOK_S), study)
        # Whoever is gone must not be given a trial: it would be lost until its lease expires.
        if parts.watch.is_closed or await request.is_disconnected():
            return asked


@router.post(
    "/studies/{name}/trials/{number}:tell",
    responses=refusals(not_external=NOT_EXTERNAL, lease_lost="The trial is no longer this attempt's."),
)
def tell(name: str, number: Annotated[int, Path(ge=1, lt=2**31)], message: Tell, parts: PartsOf) -> ToldView:
    """Ends the attempt at a trial with its metrics, a failure, or why it is infeasible. The same may be told again."""
    learned(study=name, trial=number, attempt=message.attempt)
    return external.tell(parts.store, parts.settings, name, number, message)


def _study(parts: Parts, name: str) -> int:
    with parts.store.read() as uow:
        return external.external_study(uow, name).id


def _ask(parts: Parts, name: str, message: Ask) -> AskedView:
    with parts.store.write() as uow:
        return external.ask(uow, parts.settings, name, message)
