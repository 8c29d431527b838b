"""What endpoints are given.

One that writes opens its own unit of work: a write lock must not be held while its endpoint waits for a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.api.drain import Drain
from service.api.event_watch import EventWatch
from service.api.keyring import Keyring
from service.api.metrics_registry import Metrics
from service.api.queue_watch import QueueWatch
from service.api.readiness import Readiness
from service.api.writers import Writers
from service.settings import Settings
from service.store.artefact_files import ArtefactFiles
from service.store.unit_of_work import Store, UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of; at `app.state.parts`."""

    settings: Settings
    store: Store
    files: ArtefactFiles
    watch: QueueWatch
    keys: Keyring
    metrics: Metrics
    readiness: Readiness
    drain: Drain
    events: EventWatch
    writers: Writers


async def get_parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(get_parts)]


def reading(parts: PartsOf) -> Iterator[UnitOfWork]:
    with parts.store.read() as uow:
        yield uow


ReadUnit = Annotated[UnitOfWork, Depends(reading, scope="function")]
"""A unit of work that only reads. It takes a connection when it is first used, so waiting requests hold none."""
