"""The front of a study, and how it grew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from optimization.front import front, hypervolume
from protocol.views import FrontPoint, FrontView, TrialState
from service.store.tables import Study, Trial


def front_numbers(study: Study, trials: Sequence[Trial]) -> tuple[int, ...]:
    """The numbers of the completed trials that no other one dominates."""
    completed = _completed(trials)
    best = front(study.spec.objectives, [trial.metrics for trial in completed])
    return tuple(completed[place].number for place in best)


def front_hypervolume(study: Study, trials: Sequence[Trial]) -> float | None:
    """None until the study has a reference point."""
    if study.reference is None:
        return None
    return hypervolume(study.spec.objectives, [trial.metrics for trial in _completed(trials)], study.reference)


def view_front(study: Study, trials: Sequence[Trial]) -> FrontView:
    return FrontView(
        numbers=front_numbers(study, trials),
        reference=study.reference,
        hypervolume=front_hypervolume(study, trials),
        history=_history(study, trials),
    )


def _history(study: Study, trials: Sequence[Trial]) -> tuple[FrontPoint, ...]:
    """One point for each trial that was spent, in the order in which they ended."""
    if study.reference is None:
        return ()
    objectives = study.spec.objectives
    spent = sorted((trial for trial in trials if trial.state.spent), key=lambda trial: (_end(trial), trial.number))
    best: list[dict[str, float]] = []
    volume = 0.0
    points = []
    for count, trial in enumerate(spent, start=1):
        if trial.state is TrialState.COMPLETED:
            rows = [*best, trial.metrics]
            best = [rows[place] for place in front(objectives, rows)]
            volume = hypervolume(objectives, best, study.reference)
        points.append(FrontPoint(trials=count, hypervolume=volume))
    return tuple(points)


def _end(trial: Trial) -> datetime:
    return trial.ended_at or datetime.max.replace(tzinfo=UTC)


def _completed(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state is TrialState.COMPLETED]
