"""The front of a study, and how it grew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from optimization.front import front, growth, hypervolume, infer_reference
from optimization.values import Constraint, Objective
from protocol.errors import ProtocolError
from protocol.metrics import metric_info
from protocol.views import FrontPoint, FrontView, TrialState
from service.errors import InvalidError
from service.store.tables import Study
from service.store.trials import Completed, Known
from service.store.unit_of_work import UnitOfWork

MOST_POINTS = 500
"""Of a history: each costs as much as the front is long, and no figure shows more."""

MOST_METRICS = 3
"""Of a front that somebody asks for: what can be drawn."""

TRIED = (TrialState.COMPLETED, TrialState.INFEASIBLE)
"""Trials that were judged; where all that is asked is known of them, other bounds may judge them otherwise."""


OVERLAP = timedelta(minutes=5)
"""How far the clocks of two replicas may lie apart before a front is found from all trials again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentFront:
    """The numbers of the trials on it; no hypervolume until the study has a reference point."""

    numbers: frozenset[int]
    hypervolume: float | None


@dataclass(frozen=True, slots=True)
class _Grown:
    """The front of the trials that were completed so far: `seen` are their numbers, `newest` is when the last ended."""

    seen: frozenset[int]
    best: tuple[Completed, ...]
    newest: datetime | None


class _Growing:
    """The front that this process has found of a study; another one follows on it as trials are completed."""

    def __init__(self) -> None:
        self.front = _Grown(frozenset(), (), None)


def completed(uow: UnitOfWork, study: Study) -> list[Known]:
    """The study's completed trials with what its objectives name."""
    metrics = [objective.metric for objective in study.spec.objectives]
    return uow.trials.known(study.id, metrics, TrialState.COMPLETED)


def present_front(uow: UnitOfWork, study: Study) -> PresentFront:
    """The study's front: of the one before and of what was completed since, as completed trials stay as they are."""
    count = uow.trials.counts(study.id).get(TrialState.COMPLETED, 0)
    identity = (study.id, study.created_at)
    growing = uow.remembered(("growing front", *identity), _Growing)
    found = growing.front
    if len(found.seen) != count:
        found = _followed(uow, study, found)
        if len(found.seen) != count:  # clocks lie far apart, or this transaction began before another one's end
            found = _followed(uow, study, _Growing().front)
        growing.front = found
    reference = None if study.reference is None else tuple(sorted(study.reference.items()))
    return uow.remembered(("front", *identity, count, reference), lambda: _present(study, found))


def _followed(uow: UnitOfWork, study: Study, before: _Grown) -> _Grown:
    """The front of the trials before and of those that were completed since."""
    objectives = study.spec.objectives
    since = None if before.newest is None else before.newest - OVERLAP
    ended = uow.trials.completed_since(study.id, [objective.metric for objective in objectives], since)
    fresh = [trial for trial in ended if trial.number not in before.seen]
    trials = sorted([*before.best, *(trial for trial in fresh if trial.metrics)], key=attrgetter("number"))
    places = front(objectives, [trial.metrics for trial in trials])
    return _Grown(
        seen=before.seen | {trial.number for trial in fresh},
        best=tuple(trials[place] for place in places),
        newest=max((trial.ended_at for trial in ended), default=before.newest),
    )


def _present(study: Study, grown: _Grown) -> PresentFront:
    rows = [trial.metrics for trial in grown.best]
    return PresentFront(
        numbers=frozenset(trial.number for trial in grown.best),
        hypervolume=None if study.reference is None else hypervolume(study.spec.objectives, rows, study.reference),
    )


def view_front(uow: UnitOfWork, study: Study) -> FrontView:
    return _view(uow, study, study.spec.objectives, completed(uow, study), study.reference)


def view_moved_front(
    uow: UnitOfWork, study: Study, metrics: Sequence[str], constraints: Sequence[Constraint] | None
) -> FrontView:
    """The front over two or three metrics, of what meets the constraints; the study's own where none are named.

    Nothing is tried anew: a trial has a place if all that is asked about it is known, whatever bounds it kept to. The
    reference is the study's over its own objectives, else it is inferred from the trials that have a place.

    Raises:
        InvalidError: a metric that the study does not measure, twice the same, or too many.
    """
    if not metrics and constraints is None:
        return view_front(uow, study)
    objectives = _objectives(study, metrics) if metrics else study.spec.objectives
    trials = _meeting(uow, study, objectives, constraints)
    reference = study.reference if objectives == study.spec.objectives else None
    if reference is None and trials:
        reference = infer_reference(objectives, [trial.metrics for trial in trials])
    return _view(uow, study, objectives, trials, reference)


def moved_front(
    uow: UnitOfWork, study: Study, objectives: Sequence[Objective], constraints: Sequence[Constraint] | None
) -> tuple[int, ...]:
    """The numbers of the trials on the front that these constraints leave; on the study's own without any."""
    if constraints is None:
        return tuple(sorted(present_front(uow, study).numbers))
    trials = _meeting(uow, study, objectives, constraints)
    best = front(objectives, [trial.metrics for trial in trials])
    return tuple(trials[place].number for place in best)


def history(uow: UnitOfWork, study: Study) -> tuple[FrontPoint, ...]:
    """A point for each trial that was spent, in the order in which they ended; of very many, every so many trials."""
    return _history(uow, study, study.spec.objectives, completed(uow, study), study.reference)


def _view(
    uow: UnitOfWork,
    study: Study,
    objectives: Sequence[Objective],
    trials: Sequence[Known],
    reference: dict[str, float] | None,
) -> FrontView:
    rows = [trial.metrics for trial in trials]
    return FrontView(
        numbers=tuple(trials[place].number for place in front(objectives, rows)),
        reference=reference,
        hypervolume=None if reference is None else hypervolume(objectives, rows, reference),
        history=_history(uow, study, objectives, trials, reference),
    )


def _history(
    uow: UnitOfWork,
    study: Study,
    objectives: Sequence[Objective],
    trials: Sequence[Known],
    reference: dict[str, float] | None,
) -> tuple[FrontPoint, ...]:
    if reference is None:
        return ()
    rows = {trial.number: trial.metrics for trial in trials}
    spent = [rows.get(number) for number in uow.trials.spent(study.id)]
    marks = _marks(len(spent))
    volumes = growth(objectives, spent, marks, reference)
    return tuple(FrontPoint(trials=mark, hypervolume=volume) for mark, volume in zip(marks, volumes, strict=True))


def _meeting(
    uow: UnitOfWork, study: Study, objectives: Sequence[Objective], constraints: Sequence[Constraint] | None
) -> list[Known]:
    bounds = study.spec.constraints if constraints is None else constraints
    metrics = [*(one.metric for one in objectives), *(one.metric for one in bounds)]
    known = uow.trials.known(study.id, list(dict.fromkeys(metrics)), *TRIED)
    return [trial for trial in known if all(bound.met(trial.metrics) for bound in bounds)]


def _objectives(study: Study, metrics: Sequence[str]) -> tuple[Objective, ...]:
    if not 2 <= len(metrics) <= MOST_METRICS or len(set(metrics)) < len(metrics):
        raise InvalidError(f"metric: a front is over two or three different metrics, got {', '.join(metrics):.100}")
    own = {objective.metric: objective for objective in study.spec.objectives}
    for name in metrics:
        try:
            info = metric_info(name, "metric: ")
        except ProtocolError as error:
            raise InvalidError(str(error)) from error
        if info.trained and name != study.spec.task.metric:
            raise InvalidError(f"metric: {name} is not measured by this study: its metric is {study.spec.task.metric}")
        own.setdefault(name, Objective(metric=name, direction=info.better))
    return tuple(own[name] for name in metrics)


def _marks(count: int) -> range:
    """At most `MOST_POINTS` numbers up to this one, evenly apart."""
    step = max(1, -(-count // MOST_POINTS))
    return range(count % step or step, count + 1, step)
