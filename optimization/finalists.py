"""Which trials are worth a full distillation, judged by what all trials tell of them, not by one noisy evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import moocore  # type: ignore[import-untyped]
import numpy as np

from optimization.front import choose_finalists, infer_reference
from optimization.start import FEWEST_COMPLETED
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Values

logger = logging.getLogger(__name__)

FEWEST_MODELLED = 5
"""Completed trials below which a model knows no better than the evaluations."""

LEAST_GAIN = 1e-4
"""Share of the volume found so far that a further finalist must be expected to add."""


def finalists(study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[int]:
    """Places in `trials` of at most `count` completed ones that together should dominate most, best first.

    Each is the one that adds the most expected hypervolume to those before it, under the posterior of all completed
    trials at once: an evaluation that was lucky is pulled towards what similar architectures got, and a finalist next
    to another adds little. Where there are too few trials for a model, or it fails, the evaluations decide
    (`front.choose_finalists`).

    Raises:
        OptimizationError: as `front.choose_finalists`.
    """
    places = [place for place, trial in enumerate(trials) if _is_whole(study, trial)]
    if not places or count < 1:
        return []
    if len(places) >= max(FEWEST_MODELLED, FEWEST_COMPLETED):
        try:
            return _by_posterior(study, trials, places, count)
        except Exception as error:
            logger.warning("the model cannot choose finalists (%s); their evaluations do", error)
            logger.debug("the model failed", exc_info=error)
    rows = [trials[place].metrics for place in places]
    reference = study.reference or infer_reference(study.objectives, rows)
    return [places[chosen] for chosen in choose_finalists(study.objectives, rows, count, reference)]


def _by_posterior(
    study: StrategyStudy, trials: Sequence[StrategyTrial], places: Sequence[int], count: int
) -> list[int]:
    from optimization.pareto_search import sampled_gains

    by_row = {study.space.index(trials[place].architecture): place for place in places}
    rows, gains, reference = sampled_gains(study, trials)
    return [by_row[int(rows[chosen])] for chosen in greedy(gains, reference, count)]


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
    return (
        trial.standing is Standing.COMPLETED
        and study.space.index(trial.architecture) is not None
        and all(math.isfinite(trial.metrics.get(objective.metric, math.nan)) for objective in study.objectives)
    )
