"""Which trials are worth a full distillation, judged by what all trials tell of them, not by one noisy evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import moocore  # type: ignore[import-untyped]
import numpy as np

from optimization.front import choose_finalists, infer_reference
from optimization.observations import FEWEST_FULL
from optimization.start import FEWEST_COMPLETED
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Values
from optimization.values import Direction

logger = logging.getLogger(__name__)

FEWEST_MODELLED = 8
"""Completed trials below which a model knows no better than the evaluations."""

LEAST_GAIN = 1e-4
"""Share of the volume found so far that a further finalist must be expected to add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Places in the trials, best first; `without_model` says why their evaluations alone decided, if they did."""

    places: tuple[int, ...]
    without_model: str | None = None


def finalists(study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> Chosen:
    """At most `count` completed trials that together should dominate most.

    Each is the one that adds the most expected hypervolume to those before it, under the posterior of all completed
    trials at once: an evaluation that was lucky is pulled towards what similar architectures got, and a finalist next
    to another adds little. Of a trial outside the space (a baseline) no model tells: it is as it was evaluated, with
    the noise of that. Where there are too few trials for a model, or it fails, the evaluations decide
    (`front.choose_finalists`).

    Raises:
        OptimizationError: as `front.choose_finalists`.
    """
    places = [place for place, trial in enumerate(trials) if _is_whole(study, trial)]
    if not places or count < 1:
        return Chosen(places=())
    modelled = [place for place in places if trials[place].architecture in study.space]
    if len(modelled) < max(FEWEST_MODELLED, FEWEST_COMPLETED):
        reason = f"{len(modelled)} completed trials of the search space are too few for a model"
    else:
        try:
            return Chosen(places=_by_posterior(study, trials, modelled, places, count))
        except Exception as error:
            logger.warning("the model cannot choose finalists (%s); their evaluations do", error)
            logger.debug("the model failed", exc_info=error)
            reason = f"their model failed ({type(error).__name__})"
    rows = [trials[place].metrics for place in places]
    reference = study.reference or infer_reference(study.objectives, rows)
    chosen = choose_finalists(study.objectives, rows, count, reference)
    return Chosen(places=tuple(places[each] for each in chosen), without_model=reason)


def _by_posterior(
    study: StrategyStudy,
    trials: Sequence[StrategyTrial],
    modelled: Sequence[int],
    places: Sequence[int],
    count: int,
) -> tuple[int, ...]:
    from optimization.pareto_search import sampled_gains

    by_row = {study.space.index(trials[place].architecture): place for place in modelled}
    rows, gains, reference = sampled_gains(study, trials)
    candidates = [by_row[int(row)] for row in rows]
    outside = [place for place in places if place not in set(modelled)]
    if outside:
        own = _evaluated_gains(study, trials, outside, samples=len(gains))
        candidates, gains = [*candidates, *outside], np.concatenate([gains, own], axis=1)
    return tuple(candidates[chosen] for chosen in greedy(gains, reference, count))


def _evaluated_gains(
    study: StrategyStudy, trials: Sequence[StrategyTrial], places: Sequence[int], samples: int
) -> Values:
    """What trials gain by their own evaluations and the noise of these, (samples, places, objectives)."""
    drawn = np.random.default_rng(study.seed).standard_normal((samples, len(places), len(study.objectives)))
    for axis, objective in enumerate(study.objectives):
        metric, sign = objective.metric, 1.0 if objective.direction is Direction.MAXIMIZE else -1.0
        rise = _rise(trials, metric)
        for column, place in enumerate(places):
            trial = trials[place]
            value = trial.full.get(metric, trial.metrics[metric] + rise)
            variance = trial.variances.get(metric, 0.0)
            deviation = math.sqrt(variance) if 0 < variance < math.inf else 0.0
            drawn[:, column, axis] = sign * (value + deviation * drawn[:, column, axis])
    return drawn


def _rise(trials: Sequence[StrategyTrial], metric: str) -> float:
    """How much higher a metric is at full fidelity, where the model is of that: see `surrogate.GaussianProcess`."""
    rises = [t.full[metric] - t.metrics[metric] for t in trials if metric in t.full and metric in t.metrics]
    return float(np.mean(rises)) if len(rises) >= FEWEST_FULL else 0.0


def greedy(gains: Values, reference: Values, count: int) -> list[int]:
    """At most `count` points that add the most hypervolume in the mean over samples, in the order of being chosen.

    Args:
        gains: (samples, points, objectives), more is better.
    """
    chosen: list[int] = []
    total = 0.0
    while len(chosen) < min(count, gains.shape[1]):
        left = [point for point in range(gains.shape[1]) if point not in chosen]
        volumes = [_mean_volume(gains[:, [*chosen, point]], reference) for point in left]
        best = int(np.argmax(volumes))
        if chosen and volumes[best] - total <= LEAST_GAIN * total:
            break
        chosen.append(left[best])
        total = volumes[best]
    return chosen


def _mean_volume(gains: Values, reference: Values) -> float:
    return float(np.mean([_volume(points, reference) for points in gains]))


def _volume(points: Values, reference: Values) -> float:
    inside = points[(points > reference).all(axis=1)]
    return float(moocore.hypervolume(-inside, ref=-reference)) if len(inside) else 0.0


def _is_whole(study: StrategyStudy, trial: StrategyTrial) -> bool:
    values = [trial.metrics.get(objective.metric, math.nan) for objective in study.objectives]
    return trial.standing is Standing.COMPLETED and all(math.isfinite(value) for value in values)
