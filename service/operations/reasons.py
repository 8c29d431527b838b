"""Why a trial was suggested: what its strategy expected of it, and what was known when it was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimization.front import front, hypervolume
from protocol.views import TrialState
from search_space import parameter_count
from service.errors import NotFoundError
from service.operations.early_stopping import BASELINE
from service.operations.studies import get_study
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One metric: what the strategy expected, and what was found; None where that is not known.

    `deviation` is the standard deviation of the observation's noise.
    """

    metric: str
    expected: float | None
    found: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Args:
    origin: what chose the trial: a strategy, or the baseline of this name.
    ended, completed: trials that had ended, and of them with metrics, when it was chosen.
    expectations: the study's objectives, and whatever else the strategy expected.
    beaten: numbers of the trials on the front of then that the expectation dominates.
    volume, expected_volume: hypervolume of the front of then, and with this trial as it was expected; None where an
        objective was not expected, or the study has no reference.
    """

    origin: str
    is_baseline: bool
    ended: int
    completed: int
    expectations: tuple[Expectation, ...]
    beaten: tuple[int, ...] = ()
    volume: float | None = None
    expected_volume: float | None = None


def reason_of(uow: UnitOfWork, name: str, number: int) -> Reason:
    """Raises: NotFoundError: there is no such study or trial."""
    study = get_study(uow, name)
    trials = uow.trials.of(study.id)
    trial = next((each for each in trials if each.number == number), None)
    if trial is None:
        raise NotFoundError(f"study {name!r} has no trial {number}")
    before = [each for each in trials if each.ended_at is not None and each.ended_at <= trial.created_at]
    completed = [each for each in before if each.state is TrialState.COMPLETED]
    beaten, volume, expected_volume = _against_front(study, trial, completed)
    return Reason(
        origin=trial.origin,
        is_baseline=trial.origin.startswith(BASELINE),
        ended=len(before),
        completed=len(completed),
        expectations=tuple(_expectations(study, trial)),
        beaten=beaten,
        volume=volume,
        expected_volume=expected_volume,
    )


def _expectations(study: Study, trial: Trial) -> list[Expectation]:
    names = dict.fromkeys([*(objective.metric for objective in study.spec.objectives), *trial.predicted])
    return [
        Expectation(
            metric=name,
            expected=trial.predicted.get(name),
            found=trial.metrics.get(name),
            deviation=_root(trial.variances.get(name)),
        )
        for name in names
    ]


def _against_front(
    study: Study, trial: Trial, completed: Sequence[Trial]
) -> tuple[tuple[int, ...], float | None, float | None]:
    """Who of the front of then the expectation dominates, and the hypervolume without and with it."""
    objectives = study.spec.objectives
    row = {"parameters": float(parameter_count(trial.architecture)), **trial.predicted}
    if not trial.predicted or any(objective.metric not in row for objective in objectives):
        return (), None, None
    rows = [each.metrics for each in completed]
    best = [completed[place] for place in front(objectives, rows)]
    together = [*(each.metrics for each in best), row]
    left = set(front(objectives, together))
    beaten = tuple(each.number for place, each in enumerate(best) if place not in left)
    if study.reference is None:
        return beaten, None, None
    volume = hypervolume(objectives, rows, study.reference)
    return beaten, volume, hypervolume(objectives, together, study.reference)


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)
