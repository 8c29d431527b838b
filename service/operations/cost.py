"""What a study costs: the time that its jobs had a worker, whatever became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.jobs import JobKind
from service.store.attempts import Spent
from service.store.tables import Study
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What `ended` attempts took, and those that are `running` so far, in device-seconds."""

    ended: Sequence[Spent]
    running: Sequence[Spent]

    @property
    def seconds(self) -> float:
        return sum(spent.seconds for spent in (*self.ended, *self.running))

    @property
    def by_kind(self) -> dict[str, float]:
        return _summed((str(spent.kind), spent.seconds) for spent in (*self.ended, *self.running))

    @property
    def by_worker(self) -> dict[str, float]:
        return _summed((spent.worker, spent.seconds) for spent in (*self.ended, *self.running))

    def done(self, kind: JobKind) -> int:
        """How many jobs of this kind are done."""
        return sum(spent.done for spent in self.ended if spent.kind is kind)

    def mean_s(self, kind: JobKind) -> float:
        """What a job of this kind took until it was done, with all attempts that came to nothing; one must be done."""
        return sum(spent.seconds for spent in self.ended if spent.kind is kind) / self.done(kind)


def cost_of(uow: UnitOfWork, study: Study) -> Cost:
    running = [
        Spent(
            kind=attempt.kind,
            worker=attempt.worker,
            seconds=max(0.0, (uow.now - attempt.leased_at).total_seconds()),
            done=0,
        )
        for attempt in uow.attempts.running(study.id)
    ]
    return Cost(ended=uow.attempts.spent(study.id), running=running)


def device_s(uow: UnitOfWork, study: Study) -> float:
    """What counts against the study's `device_hours`; not looked up where there is no such bound."""
    return 0.0 if study.spec.budget.device_hours is None else cost_of(uow, study).seconds


def _summed(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for name, seconds in parts:
        totals[name] = totals.get(name, 0.0) + seconds
    return totals
