"""The suggester's watch over running distillations; see `service.operations.early_stopping`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from protocol.views import StudyState, TrialState
from service.operations.early_judgement import judge
from service.operations.early_stopping import Watched, decide_stop, watched
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

Guard = Callable[[], AbstractContextManager[object]]
"""What computing happens inside of: the composition root passes the lock that keeps measurements undisturbed."""

_Seen = tuple[int, int]
"""A distillation's newest step, and how many trials of its study had ended: with both alike nothing new can follow."""


class EarlyStops:
    """Looks at every running distillation once per step, where something new is known of it.

    What it remembers only spares it work: decisions are in the store.
    """

    def __init__(self, store: Store, guard: Guard) -> None:
        self._store = store
        self._guard = guard
        self._seen: dict[int, _Seen] = {}

    def step(self) -> int:
        """How many trials it decided to stop."""
        with self._store.read() as uow:
            found: list[tuple[Watched, _Seen]] = []
            for study in uow.studies.in_states(StudyState.SEARCHING):
                if running := watched(uow, study):
                    counts = uow.trials.counts(study.id)
                    ended = counts.get(TrialState.COMPLETED, 0) + counts.get(TrialState.INFEASIBLE, 0)
                    found += [(one, (one.curve[-1].step, ended)) for one in running]
        fresh = [one for one, seen in found if self._seen.get(one.job) != seen]
        self._seen = {one.job: seen for one, seen in found}
        return sum(self._stop(one) for one in fresh)

    def _stop(self, one: Watched) -> bool:
        with self._guard(), self._store.read() as uow:
            study = uow.studies.get(one.study)
            try:
                stop = judge(uow, study, one)
            except (ArithmeticError, ValueError):
                # A trial that cannot be judged goes on: nothing is lost but steps.
                logger.exception("job %d cannot be judged", one.job)
                return False
        if stop is None:
            return False
        with self._store.write() as uow:
            decided = decide_stop(uow, one.study, one.job, stop)
        if decided:
            logger.info("study %s: trial %d is stopped: %s", study.name, one.trial, stop.reason)
        return decided
