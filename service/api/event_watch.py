"""Server-sent events: one look at the store for all who listen."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from protocol.events import Event, EventData, EventKind, Topic
from service.errors import StoreUnavailableError
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""Between two looks. What changes is written by other processes too, so there is no one to be told by."""

QUIET_S = 15.0
"""After which a listener is told that nothing happened: else somebody on the way takes the connection for dead."""

MOST_KEPT = 5_000
"""Events in memory; who is further behind reads them from the store."""

MOST_READ = 1_000


class EventWatch:
    """Gives every listener each event once, in the order of their numbers.

    However many listen, the store is read once every `POLL_S`; while nobody does, it is not read at all. Where there
    are several processes, each gives the numbers that it finds missing.
    """

    def __init__(self, store: Store, *, poll_s: float = POLL_S, quiet_s: float = QUIET_S) -> None:
        self._store = store
        self._poll_s, self._quiet_s = poll_s, quiet_s
        self._kept: deque[Event] = deque(maxlen=MOST_KEPT)
        self._newest = 0
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closed = False

    async def follow(self, study: str | None = None, after: int | None = None) -> AsyncIterator[Event | None]:
        """Events of the study, or of all, after this number, or from now on; None where nothing happened for a while.

        Ends when the watch is closed. Where some after `after` are no longer kept, it begins with one that says so.

        Raises:
            StoreUnavailableError: at the beginning.
        """
        seen, is_whole = await run_in_threadpool(self._start, after)
        if not is_whole:
            yield Event(number=seen, topic=Topic.STUDY, data=EventData(study=study, trial=None, kind=EventKind.MISSED))
        self._listeners += 1
        try:
            self._look_from_now_on()
            clock = asyncio.get_running_loop().time
            told = clock()
            while not self._closed:
                news = self._news
                fresh = await self._after(seen)
                for event in fresh:
                    seen = event.number
                    if study is None or event.data.study == study:
                        yield event
                        told = clock()
                if not fresh and not await _set_within(news, told + self._quiet_s - clock()):
                    yield None
                    told = clock()
        finally:
            self._listeners -= 1

    def close(self) -> None:
        """Lets everybody go who listens. Call it in the event loop."""
        self._closed = True
        self._news.set()

    async def closed(self) -> None:
        """`close`, and the last look is over."""
        self.close()
        if self._task is not None:
            await self._task

    async def _after(self, seen: int) -> list[Event]:
        if self._kept and self._kept[0].number <= seen + 1:
            return [event for event in self._kept if event.number > seen]
        try:
            return await run_in_threadpool(self._read, seen) if seen < self._newest else []
        except StoreUnavailableError:
            return []

    def _look_from_now_on(self) -> None:
        if self._task is None or self._task.done():
            self._kept.clear()
            self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self._listeners and not self._closed:
            try:
                fresh = await run_in_threadpool(self._look)
            except StoreUnavailableError as error:
                logger.warning("%s; looking again", error)
                fresh = []
            if fresh:
                self._kept.extend(fresh)
                self._newest = fresh[-1].number
                self._news.set()
                self._news = asyncio.Event()
            await asyncio.sleep(self._poll_s)

    def _start(self, after: int | None) -> tuple[int, bool]:
        """After which number to begin, and whether nothing before it is missed."""
        self._number()
        with self._store.read() as uow:
            newest, oldest = uow.events.newest(), uow.events.oldest()
        if not self._listeners:
            self._newest = newest
        if after is None:
            return newest, True
        # A larger number than any is of another database: one that was restored from an older copy.
        return (after, True) if oldest - 1 <= after <= newest else (newest, False)

    def _look(self) -> list[Event]:
        self._number()
        return self._read(self._newest)

    def _read(self, seen: int) -> list[Event]:
        with self._store.read() as uow:
            return uow.events.after(seen, MOST_READ)

    def _number(self) -> None:
        with self._store.read() as uow:
            waiting = uow.events.waiting()
        if waiting:
            with self._store.write() as uow:
                uow.events.number()


async def _set_within(event: asyncio.Event, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, wait_s)):
            await event.wait()
    except TimeoutError:
        return False
    return True
