"""Long polls: one look at the queue for all who wait for a job."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from protocol.jobs import LeaseRequest
from service.errors import StoreUnavailableError
from service.store.lanes import Demand
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

POLL_S = 0.05
"""Between two looks. Jobs are queued by other processes too, so there is no one to be told by."""


@dataclass(eq=False)
class _Waiter:
    request: LeaseRequest
    study: int | None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class QueueWatch:
    """Wakes as many waiting workers as there are jobs for them, who waited longest first.

    However many wait, the queue is read once every `POLL_S`; while nobody waits, it is not read at all.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a job, of any kind."""
        return bool(self._waiting)

    async def wait(self, request: LeaseRequest, wait_s: float, study: int | None = None) -> bool:
        """Whether there may be a job for this request now, of this study if one is named; False when `wait_s` have
        passed, or at the end.
        """
        if wait_s <= 0 or self._closed:
            return False
        waiter = _Waiter(request, study)
        self._waiting.append(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(wait_s):
                await waiter.woken.wait()
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return not self._closed

    def close(self) -> None:
        """Lets everybody go who waits. Call it in the event loop."""
        self._closed = True
        for waiter in self._waiting:
            waiter.woken.set()

    async def closed(self) -> None:
        """`close`, and the last look is over."""
        self.close()
        if self._task is not None:
            await self._task

    async def _watch(self) -> None:
        while self._waiting and not self._closed:
            try:
                demands = await run_in_threadpool(self._demands)
            except StoreUnavailableError as error:
                logger.warning("%s; looking again", error)
                demands = []
            for demand in demands:
                self._wake(demand)
            await asyncio.sleep(POLL_S)

    def _wake(self, demand: Demand) -> None:
        lane = demand.lane
        suited = [
            one
            for one in self._waiting
            if one.study in (None, lane.study_id) and lane.suits(one.request.kinds, one.request.targets)
        ]
        for waiter in suited[: demand.count]:
            waiter.woken.set()
            self._waiting.remove(waiter)

    def _demands(self) -> list[Demand]:
        with self._store.read() as uow:
            return uow.jobs.demands()
