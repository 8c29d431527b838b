"""The web process: API and dashboard over one store."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import uvicorn
from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool

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
from service.clock import Clock, utc_now
from service.duties import DutyHolder
from service.errors import DutyTakenError, PortTakenError, ServiceError, SettingsError, StoreUnavailableError
from service.operations import retention
from service.operations.jobs import sweep
from service.operations.tidying import tidy
from service.operations.tokens import has_admin
from service.settings import Settings
from service.store.artefact_files import ArtefactFiles
from service.store.duties import COLLECT
from service.store.migrate import upgrade
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

COLLECT_S = 600.0
"""How often artefacts are looked at that nobody needs, and every how many times files that nobody knows."""

STRAYS_EVERY = 100

GRACE_S = 5
"""How long answers that are on their way may take when the service stops."""


TIDY_S = 3600.0


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
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        sweeping = asyncio.create_task(_sweep_until(stopping, parts))
        collecting = asyncio.create_task(_collect_until(stopping, parts))
        try:
            yield
        finally:
            # Neither is cancelled: a thread of theirs would go on, with a connection of a store that is closed.
            stopping.set()
            await sweeping
            await collecting
            await parts.watch.closed()
            await parts.events.closed()
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
    problems.install(app)
    probes.install(app)
    for module in (
        studies, trials, plots, events, jobs, external, devices, calibrations, artefacts, tokens, sessions, health,
    ):  # fmt: skip
        app.include_router(module.router, prefix="/v1", responses=REFUSALS)
    app.include_router(metrics.router, include_in_schema=False)  # outside the API, as the probes are
    document(app)
    app.include_router(dashboard.router)
    app.state.access = declared(app)
    dashboard.mount_static(app)
    app.add_middleware(Guard, parts=parts)
    app.add_middleware(Envelope, settings=settings)
    app.add_middleware(Requests, metrics=parts.metrics, drain=parts.drain)  # the last is the outermost
    return app


def bind(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        PortTakenError: somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {settings.port} on {settings.host} is taken, perhaps by another service of yours; stop it, or "
                "choose another port"
            ) from error
        raise ServiceError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error


def serve(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Serves until the process is told to stop (SIGINT, SIGTERM).

    `ready` is called with the service's address as soon as it can be connected to.

    Raises:
        PortTakenError: somebody else listens on the port. StoreUnusableError: the database cannot be used.
        SettingsError: others could reach the service, and there is no token; or its certificate cannot be used.
        ServiceError: the service did not start.
    """
    with bind(settings) as listening:
        host, port = listening.getsockname()[:2]
        check_certificate(settings)
        app = create_app(settings)
        check_reach(settings, app.state.parts.store)
        server = _Server(configuration(app, settings), app.state.parts)
        if ready is not None:
            scheme = "http" if settings.tls_certificate is None else "https"
            ready(f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")
        server.run(sockets=[listening])
        if not server.started:
            raise ServiceError("the service did not start; the lines above say why")


def configuration(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        log_config=None,  # its loggers are ours, which mask what is secret
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
    )


def check_reach(settings: Settings, store: Store) -> None:
    """Refuses to serve others than this machine without an administrator among them.

    Raises:
        SettingsError.
    """
    if settings.is_loopback:
        return
    with store.read() as uow:
        rows, now = uow.tokens.all(), uow.now
    if not has_admin(rows, now):
        raise SettingsError(
            f"host {settings.host!r} is not loopback, and without an access token whoever reaches the service could do"
            f" everything: make one with `stillhouse token create --scope admin --name NAME --home {settings.home}`, or"
            " listen on 127.0.0.1"
        )
    if settings.tls_certificate is None:
        logger.warning(
            "the service speaks http on %s: tokens can be read on their way unless a proxy speaks https before it"
            " (or set tls_certificate and tls_key)",
            settings.host,
        )


def check_certificate(settings: Settings) -> None:
    """Raises: SettingsError: certificate and key cannot be used, or do not belong together."""
    if settings.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"tls_certificate {settings.tls_certificate} and tls_key {settings.tls_key} cannot be used: {error}"
        ) from error


class _Server(uvicorn.Server):
    """Ends in an order that nobody notices: balancers are told, who waits is let go, what is under way ends."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._parts.drain.begin()
        self._parts.watch.close()
        self._parts.events.close()
        end_s = time.monotonic() + self._parts.settings.drain_s
        while time.monotonic() < end_s and not self.force_exit:
            await asyncio.sleep(min(0.1, self._parts.settings.drain_s))
        await super().shutdown(sockets)


async def _sweep_until(stopping: asyncio.Event, parts: Parts) -> None:
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


async def _collect_until(stopping: asyncio.Event, parts: Parts) -> None:
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


def _version() -> str:
    try:
        return version("stillhouse")
    except PackageNotFoundError:
        return "unknown"
