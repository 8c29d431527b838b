"""The threads in which workers' calls are carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from service.store.unit_of_work import Store

Answer = TypeVar("Answer")

MOST = 4
"""Threads on PostgreSQL: while one waits until its transaction is on the disk, others go on. More of them would only
wait for each other, and hold what others wait for meanwhile. SQLite has one writer, so one thread writes to it.
"""

MOST_REPORTS = 2
"""Threads beside them, for reports: those of one study follow one by one. While one waits for another, here or at
another replica, work is given out and leases are renewed. On SQLite it is the one thread that writes.
"""


class Writers:
    """Few threads of their own: however many workers call, reading pages does not wait for them."""

    def __init__(self, store: Store) -> None:
        self._threads = ThreadPoolExecutor(1 if store.has_one_writer else MOST, thread_name_prefix="writer")
        self._reporting = (
            self._threads if store.has_one_writer else ThreadPoolExecutor(MOST_REPORTS, thread_name_prefix="report")
        )
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="look")

    async def do(self, work: Callable[[], Answer]) -> Answer:
        """What the work answers, or raises, done in one of the threads when it is its turn."""
        return await _done(self._threads, work)

    async def report(self, work: Callable[[], Answer]) -> Answer:
        """The same of work that may have to wait for its study."""
        return await _done(self._reporting, work)

    async def look(self, work: Callable[[], Answer]) -> Answer:
        """The same of work that only reads: it waits for no writer."""
        return await _done(self._looking, work)

    def close(self) -> None:
        """Ends the threads when they are done with what they have."""
        for threads in (self._threads, self._reporting, self._looking):
            threads.shutdown()


async def _done(threads: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
