"""The web process: API and dashboard over one store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import Depends, FastAPI

from service import dashboard
from service.api import (
    artefacts,
    calibrations,
    devices,
    events,
    external,
    health,
    jobs,
    metrics,
    plots,
    probes,
    problems,
    sessions,
    studies,
    tokens,
    trials,
)
from service.api.access import REFUSALS, check_access, declared
from service.api.dependencies import Parts
from service.api.documentation import document, operation_id
from service.api.drain import Drain
from service.api.envelope import Envelope
from service.api.event_watch import EventWatch
from service.api.failure_limit import FailureLimit
from service.api.guard import Guard
from service.api.keyring import Keyring
from service.api.metrics_registry import Metrics
from service.api.queue_watch import QueueWatch
from service.api.readiness import Readiness
from service.api.requests import Requests
from service.api.worker_calls import WorkerCalls
from service.api.writers import Writers
from service.clock import Clock, utc_now
from service.settings import Settings
from service.store.artefact_files import ArtefactFiles
from service.store.migrate import upgrade
from service.store.unit_of_work import Store
from service.upkeep import collect_until, sweep_until


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The application; its database is brought up to date first.

    Raises:
        StoreUnusableError: that is not possible.
    """
    upgrade(settings.database_url)
    store = Store(settings.database_url, clock)
    files = ArtefactFiles(settings.artefacts)
    parts = Parts(
        settings=settings,
        store=store,
        files=files,
        watch=QueueWatch(store),
        metrics=Metrics(store),
        readiness=Readiness(store, files),
        drain=Drain(),
        keys=Keyring(store, clock, loopback=settings.is_loopback, failures=FailureLimit()),
        events=EventWatch(store),
        writers=Writers(store),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        sweeping = asyncio.create_task(sweep_until(stopping, parts))
        collecting = asyncio.create_task(collect_until(stopping, parts))
        try:
            yield
        finally:
            # Neither is cancelled: a thread of theirs would go on, with a connection of a store that is closed.
            stopping.set()
            await sweeping
            await collecting
            await parts.watch.closed()
            await parts.events.closed()
            parts.writers.close()
            store.close()

    # The framework's own pages with the documentation would fetch scripts from elsewhere.
    app = FastAPI(
        title="Stillhouse",
        version=_version(),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(check_access)],
        generate_unique_id_function=operation_id,
    )
    app.state.parts = parts
    problems.install(app, dashboard.unknown_page)
    probes.install(app)
    for module in (
        jobs, studies, trials, plots, events, external, devices, calibrations, artefacts, tokens, sessions, health,
    ):  # fmt: skip
        app.include_router(module.router, prefix="/v1", responses=REFUSALS)
    app.include_router(metrics.router, include_in_schema=False)  # outside the API, as the probes are
    document(app)
    app.include_router(dashboard.router)
    app.state.access = declared(app)
    dashboard.mount_static(app)
    app.add_middleware(WorkerCalls, parts=parts)
    app.add_middleware(Guard, parts=parts)
    app.add_middleware(Envelope, settings=settings)
    app.add_middleware(Requests, metrics=parts.metrics, drain=parts.drain)  # the last is the outermost
    return app


def _version() -> str:
    try:
        return version("stillhouse")
    except PackageNotFoundError:
        return "unknown"
