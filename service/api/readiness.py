"""Whether a replica has what it needs to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool

from service.errors import ServiceError
from service.store.artefact_files import ArtefactFiles
from service.store.migrate import is_behind
from service.store.unit_of_work import Store

PATIENCE_S = 3.0
"""A store that takes longer counts as one that does not answer."""


class Readiness:
    """Looks once for all who ask meanwhile: probes do not pile up before a store that hangs."""

    def __init__(self, store: Store, files: ArtefactFiles) -> None:
        self._store, self._files = store, files
        self._looking: asyncio.Task[list[str]] | None = None

    async def lacks(self) -> list[str]:
        """What is missing, in words; nothing where the replica may be asked."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(run_in_threadpool(lambda: list(self._lacks())))
        try:
            return await asyncio.wait_for(asyncio.shield(self._looking), PATIENCE_S)
        except TimeoutError:
            return [f"the database has not answered for {PATIENCE_S:g} s"]

    def _lacks(self) -> Iterator[str]:
        try:
            with self._store.read() as uow:
                revision = uow.monitoring.revision()
        except ServiceError as error:
            yield str(error)
        else:
            if is_behind(revision):
                yield f"the database is at migration {revision}: run `stillhouse migrate`"
        lack = self._files.unusable()
        if lack is not None:
            yield lack
