"""What the web process does unasked: expired leases end, what was kept for a while goes, needless artefacts go."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Parts
from service.duties import DutyHolder
from service.errors import DutyTakenError, StoreUnavailableError
from service.operations import retention
from service.operations.jobs import sweep
from service.operations.tidying import tidy
from service.store.duties import COLLECT

logger = logging.getLogger(__name__)

TIDY_S = 3600.0

COLLECT_S = 600.0
"""How often artefacts are looked at that nobody needs, and every how many times files that nobody knows."""

STRAYS_EVERY = 100


async def sweep_until(stopping: asyncio.Event, parts: Parts) -> None:
    """Ends expired leases also while nobody asks for jobs; now and then forgets what was kept for a while only."""
    clock = asyncio.get_running_loop().time
    tidied = clock()
    while not stopping.is_set():
        try:
            await run_in_threadpool(_sweep, parts)
            await run_in_threadpool(parts.keys.note_uses)
            if clock() > tidied + TIDY_S:
                tidied = clock()
                await run_in_threadpool(_tidy, parts)
        except StoreUnavailableError as error:
            logger.warning("%s; sweeping again", error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), parts.settings.lease_s / 6)


async def collect_until(stopping: asyncio.Event, parts: Parts) -> None:
    """Removes artefacts that nobody needs; of several replicas one at a time."""
    holder = DutyHolder(parts.store, COLLECT)

    def collect(strays: bool) -> None:
        with holder.held() as keep:

            def go_on() -> bool:
                keep()
                return not stopping.is_set()

            retention.collect(parts.store, parts.files, parts.settings, go_on, strays=strays)

    for count in itertools.count():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), COLLECT_S)
        if stopping.is_set():
            return
        try:
            await run_in_threadpool(collect, count % STRAYS_EVERY == 0)
        except DutyTakenError:
            pass
        except (StoreUnavailableError, OSError) as error:
            logger.warning("artefacts were not collected, next time they will be: %s", error)


def _sweep(parts: Parts) -> None:
    with parts.store.read() as uow:
        expired = bool(uow.jobs.expired(uow.now))
    if expired:
        with parts.store.write() as uow:
            sweep(uow, parts.settings)


def _tidy(parts: Parts) -> None:
    with parts.store.write() as uow:
        tidy(uow)
