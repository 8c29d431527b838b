"""Many clients that take work, say twice how far they are, and hand in the result: threads of few processes.

A client of ours is what `stillhouse worker` speaks through, with a connection of its own; one of Optuna is a thread
with a `Study` of its own over its process's storage, which has a connection for each. Neither trains anything.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from cells.stored_study import ARTEFACT, curve, score

from client import Client
from protocol.jobs import PROTOCOL_VERSION, Distilled, JobKind, LeaseRequest, Progress, Renewal, Report

T = TypeVar("T")

OURS, OPTUNA = "stillhouse", "Optuna"
CALLS = {OURS: ("lease", "renew", "report"), OPTUNA: ("ask", "report", "tell")}
"""The first of a cycle, the one that comes twice, and the last."""
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
    opened = _ours if load.side == OURS else _optuna
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


@contextmanager
def _ours(load: Load, _many: int) -> Iterator[Callable[[int, Taken], AbstractContextManager[Cycle]]]:
    result = Distilled(selection=score(0.8), curve=curve(), steps=200, seconds=60.0, weights=ARTEFACT)

    @contextmanager
    def cycles(number: int, taken: Taken) -> Iterator[Cycle]:
        wire = httpx.HTTPTransport(verify=False)  # no certificates to be read, on plain loopback
        with Client(load.places[number % len(load.places)], token="", patience_s=60.0, wire=wire) as client:
            request = LeaseRequest(
                worker=f"load-{number}", protocol_version=PROTOCOL_VERSION, kinds=(JobKind.DISTILL,), wait_s=2.0
            )

            def once() -> None:
                asked = request.model_copy(update={"request": uuid4().hex})
                grant = taken.timed("lease", lambda: client.jobs.lease(asked))
                if grant is None:
                    raise LookupError("no job was waiting: the load was too small")
                for place in (1, 2):
                    said = Renewal(
                        attempt=grant.attempt,
                        number=place,
                        progress=Progress(stage="distilling", done=100 * place, total=200),
                        curve=curve()[: 5 * place],
                    )
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
