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


class Writers:
    """Few threads of their own: however many workers call, reading pages does not wait for them."""

    def __init__(self, store: Store) -> None:
        self._threads = ThreadPoolExecutor(1 if store.has_one_writer else MOST, thread_name_prefix="writer")

    async def do(self, work: Callable[[], Answer]) -> Answer:
        """What the work answers, or raises, done in one of the threads when it is its turn."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, copy_context().run, work)

    def close(self) -> None:
        """Ends the threads when they are done with what they have."""
        self._threads.shutdown()
