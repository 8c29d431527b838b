"""The service as a Python object."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import httpx

from client.artefacts import Artefacts
from client.cache import Cache
from client.calibrations import Calibrations
from client.external import External
from client.jobs import Jobs
from client.studies import Studies
from client.transport import TIMEOUT_S, Transport

PATIENCE_S = 3.0
HEALTH_S = 2.0


class Client:
    """A typed, synchronous client; may be used from several threads.

        with Client("http://127.0.0.1:8787") as client:
            study = client.studies.get("demo").wait()
            model, tokenizer = study.best(latency="4 ms").load()

    `token` is what the service lets this client in by, the one in STILLHOUSE_TOKEN by default and none if it is empty.
    `patience_s` is how long an unreachable or overloaded service is asked again before `Unreachable` is raised, and
    `timeout_s` how long one answer may take.
    `cache` is a folder for artefacts that were fetched; `wire` replaces the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        timeout_s: float = TIMEOUT_S,
        cache: Path | None = None,
        wire: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._transport = Transport(
            base_url, token=token, patience_s=patience_s, timeout_s=timeout_s, wire=wire, pause=pause, clock=clock
        )
        self.jobs = Jobs(self._transport)
        self.external = External(self._transport)
        self.calibrations = Calibrations(self._transport)
        self.artefacts = Artefacts(self._transport, None if cache is None else Cache(cache))
        self.studies = Studies(self._transport, self.artefacts, self.jobs)

    def __repr__(self) -> str:
        return f"<client of {self.base_url}>"

    def healthy(self) -> bool:
        """Whether the service says that it is well. Asked once, and not waited for long.

        Raises:
            Unreachable: it does not answer.
        """
        return self._transport.call("GET", "/healthz", safe=False, timeout_s=HEALTH_S, accept=(503,)).is_success

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
