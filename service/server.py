"""The web process: the application on a socket, from the first check to an end that nobody notices."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import ssl
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from service.api.dependencies import Parts
from service.app import create_app
from service.errors import PortTakenError, ServiceError, SettingsError
from service.operations.tokens import has_admin
from service.settings import Settings
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

GRACE_S = 5
"""How long answers that are on their way may take when the service stops."""


def bind(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        PortTakenError: somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {settings.port} on {settings.host} is taken, perhaps by another service of yours; stop it, or "
                "choose another port"
            ) from error
        raise ServiceError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
    # Connections inherit it. asyncio asks for it too, but not of a socket that was made without naming its protocol.
    # Without it the body of an answer waits until its head was acknowledged, which many systems put off for 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


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
        # What was loaded until now stays for good; looking for garbage among it would hold up every request meanwhile.
        gc.collect()
        gc.freeze()
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
