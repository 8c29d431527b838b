"""Many clients that take work, say twice how far they are, and hand in the result: threads of few processes.

A client of ours has a connection of its own and speaks HTTP by the line, in messages that were written before: it
shares the cores with the service, and what is measured is the service. Or it is what `stillhouse worker` speaks
through, which takes longer for a message, on a machine of its own. One of Optuna is a thread with a `Study` of its own
over its process's storage, which has a connection for each, and no HTTP in between. None of them trains anything.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from cells.stored_study import ARTEFACT, curve, score

from client import Client
from protocol.jobs import PROTOCOL_VERSION, Distilled, JobKind, LeaseRequest, Progress, Renewal, Report

T = TypeVar("T")

OURS, OPTUNA = "stillhouse", "Optuna"
CALLS = {OURS: ("lease", "renew", "report"), OPTUNA: ("ask", "report", "tell")}
"""The first of a cycle, the one that comes twice, and the last."""
WIRE, CLIENT = "wire", "client"
"""What our clients speak through: a connection, or the client of `stillhouse worker`."""
PROCESSES = 2
LOCK_WAIT_S = 60.0
"""How long Optuna's SQLite waits for another writer: with its default of 5 s many of its calls would fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many clients for `window_s`, after `warm_s` that do not count. `places` are addresses of services, or that of
    Optuna's database.
    """

    side: str
    places: tuple[str, ...]
    study: str
    clients: int
    warm_s: float
    window_s: float
    through: str = WIRE


@dataclass(slots=True)
class Taken:
    """When each call ended, and how long it took."""

    calls: list[tuple[str, float, float]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def timed(self, call: str, work: Callable[[], T]) -> T:
        begin_s = time.monotonic()
        found = work()
        end_s = time.monotonic()
        self.calls.append((call, end_s, end_s - begin_s))
        return found


Cycle = Callable[[], None]


class Generators:
    """The processes of the clients."""

    def __init__(self) -> None:
        context = get_context("spawn")
        together = (context.Barrier(PROCESSES),)
        self._pool = ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=_begin, initargs=together)

    def close(self) -> None:
        self._pool.shutdown()

    def run(self, load: Load) -> dict[str, Any]:
        """The cycles that were completed in the window, and the seconds of each of their calls."""
        # Each waits for the other, so that neither takes both halves.
        halves = [self._pool.submit(_drive, load, part) for part in range(PROCESSES)]
        found = [half.result() for half in halves]
        calls: dict[str, list[float]] = {call: [] for call in CALLS[load.side]}
        errors: Counter[str] = Counter()
        for each in found:
            errors.update(each["errors"])
            for call, seconds in each["calls"]:
                calls[call].append(seconds)
        return {"cycles": len(calls[CALLS[load.side][-1]]), "calls": calls, "errors": dict(errors)}


_together: Any = None


def _begin(together: Any) -> None:
    global _together
    _together = together


def _drive(load: Load, part: int) -> dict[str, Any]:
    """This process's clients: every `PROCESSES`th."""
    mine = range(part, load.clients, PROCESSES)
    ended, ready = threading.Event(), threading.Barrier(len(mine) + 1)
    opened = _optuna if load.side == OPTUNA else _wire if load.through == WIRE else _ours
    with opened(load, len(mine)) as cycles:
        takens = [Taken() for _ in mine]
        threads = [
            threading.Thread(target=_cycle_on, args=(cycles(number, taken), taken, ready, ended))
            for number, taken in zip(mine, takens, strict=True)
        ]
        for thread in threads:
            thread.start()
        _together.wait()
        ready.wait()
        begin_s = time.monotonic() + load.warm_s
        end_s = begin_s + load.window_s
        time.sleep(end_s - time.monotonic())
        ended.set()
        for thread in threads:
            thread.join()
    errors: Counter[str] = Counter()
    for taken in takens:
        errors.update(taken.errors)
    calls = [(name, s) for taken in takens for name, at_s, s in taken.calls if begin_s <= at_s < end_s]
    return {"calls": calls, "errors": dict(errors)}


def _cycle_on(
    cycle: AbstractContextManager[Cycle], taken: Taken, ready: threading.Barrier, ended: threading.Event
) -> None:
    with cycle as once:
        ready.wait()
        while not ended.is_set():
            try:
                once()
            except Exception as error:
                taken.errors[type(error).__name__] += 1
                ended.wait(0.05)


class Wire:
    """One connection that is kept."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._socket = socket.create_connection((url.hostname, url.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer; empty where there is none.

        Raises:
            RuntimeError: it is no success.
        """
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        start, _, answer = received.partition(b"\r\n\r\n")
        lines = start.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(answer) < length:
            answer += self._more()
        status = int(lines[0].split()[1])
        if status not in (200, 204):
            raise RuntimeError(f"{path} answered {status}: {answer[:200]!r}")
        return answer

    def _more(self) -> bytes:
        some = self._socket.recv(65_536)
        if not some:
            raise ConnectionError("the service closed the connection")
        return some


@contextmanager
def _wire(load: Load, _many: int) -> Iterator[Callable[[int, Taken], AbstractContextManager[Cycle]]]:
    # Each message but for the attempt that it is of, which is any: what comes before and behind it.
    renewals = [_around(_renewal(attempt=0, place=place)) for place in (1, 2)]
    report = _around(Report(attempt=0, result=_result()))

    @contextmanager
    def cycles(number: int, taken: Taken) -> Iterator[Cycle]:
        wire = Wire(load.places[number % len(load.places)])
        asks = _request(number).model_dump(mode="json")

        def once() -> None:
            asked = json.dumps({**asks, "request": uuid4().hex}).encode()
            granted = taken.timed("lease", lambda: wire.post("/v1/jobs:lease", asked))
            if not granted:
                raise LookupError("no job was waiting: the load was too small")
            grant = json.loads(granted)
            path, attempt = f"/v1/jobs/{grant['job']}", str(grant["attempt"]).encode()
            for said in renewals:
                taken.timed("renew", lambda said=said: wire.post(f"{path}:renew", attempt.join(said)))
            taken.timed("report", lambda: wire.post(f"{path}:report", attempt.join(report)))

        try:
            yield once
        finally:
            wire.close()

    yield cycles


def _around(message: Renewal | Report) -> tuple[bytes, bytes]:
    """The message's text before and behind the number of its attempt."""
    before, _, behind = message.model_dump_json().partition('"attempt":0')
    return f'{before}"attempt":'.encode(), behind.encode()


def _request(number: int) -> LeaseRequest:
    return LeaseRequest(
        worker=f"load-{number}", protocol_version=PROTOCOL_VERSION, kinds=(JobKind.DISTILL,), wait_s=2.0
    )


def _renewal(attempt: int, place: int) -> Renewal:
    progress = Progress(stage="distilling", done=100 * place, total=200)
    return Renewal(attempt=attempt, number=place, progress=progress, curve=curve()[: 5 * place])


def _result() -> Distilled:
    return Distilled(selection=score(0.8), curve=curve(), steps=200, seconds=60.0, weights=ARTEFACT)


@contextmanager
def _ours(load: Load, _many: int) -> Iterator[Callable[[int, Taken], AbstractContextManager[Cycle]]]:
    result = _result()

    @contextmanager
    def cycles(number: int, taken: Taken) -> Iterator[Cycle]:
        wire = httpx.HTTPTransport(verify=False)  # no certificates to be read, on plain loopback
        with Client(load.places[number % len(load.places)], token="", patience_s=60.0, wire=wire) as client:
            request = _request(number)

            def once() -> None:
                asked = request.model_copy(update={"request": uuid4().hex})
                grant = taken.timed("lease", lambda: client.jobs.lease(asked))
                if grant is None:
                    raise LookupError("no job was waiting: the load was too small")
                for place in (1, 2):
                    said = _renewal(grant.attempt, place)
                    taken.timed("renew", lambda said=said: client.jobs.renew(grant.job, said))
                taken.timed(
                    "report", lambda: client.jobs.report(grant.job, Report(attempt=grant.attempt, result=result))
                )

            yield once

    yield cycles


@contextmanager
def _optuna(load: Load, many: int) -> Iterator[Callable[[int, Taken], AbstractContextManager[Cycle]]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna_storage(load.places[0], many)

    @contextmanager
    def cycles(_number: int, taken: Taken) -> Iterator[Cycle]:
        study = optuna.load_study(study_name=load.study, storage=storage, sampler=optuna.samplers.RandomSampler())

        def once() -> None:
            trial = taken.timed("ask", study.ask)
            for place in (1, 2):
                taken.timed("report", lambda place=place: trial.report(0.5, 100 * place))
            taken.timed("tell", lambda: study.tell(trial, 0.8))

        yield once

    yield cycles
    storage.engine.dispose()


def optuna_storage(url: str, connections: int) -> Any:
    import optuna

    given: dict[str, Any] = {"pool_size": max(connections, 1)}
    if url.startswith("sqlite"):
        given["connect_args"] = {"timeout": LOCK_WAIT_S}
    return optuna.storages.RDBStorage(url.replace("postgresql://", "postgresql+psycopg://"), engine_kwargs=given)
