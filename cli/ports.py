"""The port that a service started here will listen on."""

from __future__ import annotations

import errno
import socket

from cli.errors import BadInputError
from client import Client, ClientError

HOST = "127.0.0.1"


def free_port(wanted: int, host: str = HOST) -> int:
    """The wanted port, or any free one for 0.

    Raises:
        BadInputError: somebody else listens there, or nobody may.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As a server does: a port whose last connections are only timing out is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = f"is taken{_by(wanted)}" if taken else f"cannot be used: {error.strerror}"
            raise BadInputError(
                f"port {wanted} {why}; name another one with --port, or --port 0 for any free one"
            ) from error
        return int(probe.getsockname()[1])


def _by(port: int) -> str:
    try:
        with Client(f"http://{HOST}:{port}", token="", patience_s=0) as client:
            return " by another Stillhouse service" if client.healthy() else ""
    except ClientError:
        return ""
