"""The suggester's watch over running distillations; see `service.operations.early_stopping`."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from protocol.early_stop import EarlyStop
from protocol.views import StudyState
from service.errors import NotFoundError
from service.operations.early_judgement import ENDED, Evidence, evidence, judge
from service.operations.early_stopping import Watched, decide_stop, watched
from service.store.unit_of_work import Store, UnitOfWork

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
        seen: dict[int, _Seen] = {}
        fresh: dict[int, list[Watched]] = defaultdict(list)
        with self._store.read() as uow:
            for study in uow.studies.in_states(StudyState.SEARCHING):
                if running := watched(uow, study):
                    counts = uow.trials.counts(study.id)
                    ended = sum(counts.get(state, 0) for state in ENDED)
                    seen |= {one.job: (one.curve[-1].step, ended) for one in running}
                    fresh[study.id] = [one for one in running if self._seen.get(one.job) != seen[one.job]]
        self._seen = seen
        return sum(self._looked(study, running) for study, running in fresh.items() if running)

    def _looked(self, identity: int, running: Sequence[Watched]) -> int:
        """As `_look`; none where that cannot be told: training goes on then, and nothing is lost but steps."""
        try:
            return self._look(identity, running)
        except NotFoundError:
            logger.info("study %d was deleted while its trials were judged", identity)
        except (ArithmeticError, ValueError):
            logger.exception("the trials of study %d cannot be judged", identity)
        return 0

    def _look(self, identity: int, running: Sequence[Watched]) -> int:
        """How many of the study's distillations it decided to stop."""
        with self._guard(), self._store.read() as uow:
            told = evidence(uow, uow.studies.get(identity))
            found = [(one, self._judged(uow, told, one)) for one in running]
        stopped = 0
        for one, stop in found:
            if stop is not None:
                with self._store.write() as uow:
                    stopped += decide_stop(uow, identity, one.job, stop)
                logger.info("job %d shall stop: %s", one.job, stop.reason)
        return stopped

    @staticmethod
    def _judged(uow: UnitOfWork, told: Evidence, one: Watched) -> EarlyStop | None:
        try:
            return judge(uow, told, one)
        except (ArithmeticError, ValueError):
            # A trial that cannot be judged goes on: nothing is lost but steps.
            logger.exception("job %d cannot be judged", one.job)
            return None
