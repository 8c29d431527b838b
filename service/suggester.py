"""The suggester: a process of its own that keeps every searching study supplied with trials.

The store is its only state. It leases the study that it thinks about, so that any number of suggesters may run, and
computes outside of any transaction.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from typing import Protocol

from optimization.registry import strategy
from optimization.values import StrategyName
from protocol.views import StudyState
from search_space import SearchSpace
from service.early_stops import EarlyStops, Guard
from service.errors import NotFoundError, StoreUnavailableError
from service.operations.calibrations import Known
from service.operations.supply import (
    Supply,
    end_search,
    give_up,
    has_need,
    insert_suggestions,
    read_supply,
    select_finalists,
    space_of,
)
from service.settings import Settings
from service.store.migrate import upgrade
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

POLL_S = 0.5
"""How long a suggester sleeps when no study needs anything."""

LEASE_S = 10.0
"""How long a study waits for a suggester that died; one that computes renews its lease all along."""

MODELS = {StrategyName.AX: "optimization.ax_model", StrategyName.PARETO: "optimization.pareto_search"}
"""What strategies import when they first fit a model, some seconds long."""

BEFORE_SEARCHING = (StudyState.PREPARING, StudyState.CALIBRATING)

_Started = tuple[int, datetime]
"""Which study, and which start of it."""


class StopEvent(Protocol):
    """`threading.Event` or `multiprocessing.Event`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def run_suggester(settings: Settings, guard: Guard, stop: StopEvent) -> None:
    """Supplies every study of this store until `stop` is set.

    Raises:
        StoreUnusableError: the database cannot be used.
    """
    upgrade(settings.database_url)
    store = Store(settings.database_url)
    try:
        suggester = Suggester(store, guard)
        while not stop.is_set():
            try:
                busy = suggester.step()
            except StoreUnavailableError as error:
                logger.warning("%s; trying again", error)
                busy = False
            if not busy:
                stop.wait(POLL_S)
    finally:
        store.close()


class Suggester:
    """Looks at every study once per step."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self._store = store
        self._guard = guard
        self._name = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._spaces: dict[_Started, SearchSpace] = {}
        self._known: dict[_Started, Known] = {}
        self._early_stops = EarlyStops(store, guard)

    def step(self) -> bool:
        """Stops what can be stopped and gives each study that needs it what it needs; whether any did."""
        stopped = self._early_stops.step()  # first: the training that it would spare goes on meanwhile
        with self._store.read() as uow:
            needy = [study.id for study in uow.studies.in_states(StudyState.SEARCHING) if has_need(uow, study)]
            coming = uow.studies.in_states(*BEFORE_SEARCHING, StudyState.SEARCHING)
            strategies = {study.spec.strategy for study in coming}
            kept = {(study.id, study.created_at) for study in coming} & self._spaces.keys()
        self._spaces = {started: self._spaces[started] for started in kept}
        self._known = {started: self._known[started] for started in kept & self._known.keys()}
        if not needy:
            self._warm_up(strategies)
        served = [self._supply(identity) for identity in needy]
        return any(served) or stopped > 0

    def _supply(self, identity: int) -> bool:
        with self._store.write() as uow:
            attempt = uow.studies.lease_suggester(identity, self._name, uow.now, LEASE_S)
        if attempt is None:
            return False
        with self._kept(identity, attempt):
            try:
                return self._supply_leased(identity, attempt)
            except StoreUnavailableError:
                raise
            except NotFoundError:
                logger.info("study %s was deleted while it was supplied", identity)
                return False
            except Exception as error:
                # One study that cannot be read or told must not end the supply of all others.
                logger.exception("study %s cannot be supplied", identity)
                self._give_up(identity, attempt, f"it cannot be supplied with trials: {error}")
                return True

    def _supply_leased(self, identity: int, attempt: int) -> bool:
        name, supply = self._read(identity)
        if supply.ended:
            self._end(identity, attempt, supply)
            return True
        if not supply.count:
            return False
        with self._guard():
            _, supply = self._read(identity)  # the guard may have let us wait, and results came in meanwhile
            began_s = time.perf_counter()
            try:
                suggestions = strategy(name).suggest(supply.study, supply.trials, supply.count)
            except Exception as error:
                # The same arguments give the same answer, so trying again would fail again, for ever.
                logger.exception("strategy %s failed", name)
                self._give_up(identity, attempt, f"strategy {name} failed: {error}")
                return True
            took_s = time.perf_counter() - began_s
        with self._store.write() as uow:
            uow.studies.suggested(identity, took_s)
            return insert_suggestions(uow, identity, attempt, suggestions, took_s) > 0

    def _give_up(self, identity: int, attempt: int, reason: str) -> None:
        with self._store.write() as uow:
            give_up(uow, identity, attempt, reason)

    def _end(self, identity: int, attempt: int, supply: Supply) -> None:
        """Ends the search; choosing finalists takes seconds, so it is done before the transaction that begins them."""
        selection = None
        if supply.finalists:
            with self._guard():
                selection = select_finalists(supply)
        with self._store.write() as uow:
            end_search(uow, identity, attempt, supply.budget, selection)

    def _read(self, identity: int) -> tuple[StrategyName, Supply]:
        with self._store.read() as uow:
            study = uow.studies.get(identity)
            started = (study.id, study.created_at)
            if started not in self._spaces:
                self._spaces[started] = space_of(study)
            known = self._known.setdefault(started, {})
            return study.spec.strategy, read_supply(uow, study, self._spaces[started], known)

    @contextmanager
    def _kept(self, identity: int, attempt: int) -> Iterator[None]:
        """Renews the lease on the study from a thread of its own, and gives it back at the end."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(LEASE_S / 3):
                try:
                    self._renew(identity, attempt, LEASE_S)
                except StoreUnavailableError as error:
                    logger.warning("the lease on study %s was not renewed: %s", identity, error)

        thread = threading.Thread(target=keep, name="suggester-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._renew(identity, attempt, None)

    def _renew(self, identity: int, attempt: int, lease_s: float | None) -> None:
        with self._store.write() as uow:
            expires_at = None if lease_s is None else uow.now + timedelta(seconds=lease_s)
            uow.studies.renew_suggester(identity, attempt, expires_at)

    def _warm_up(self, strategies: set[StrategyName]) -> None:
        """Imports what the first suggestion of a model would otherwise wait for, some seconds."""
        for module in (MODELS[name] for name in MODELS if name in strategies):
            if module not in sys.modules:
                with self._guard():
                    import_module(module)
