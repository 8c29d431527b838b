"""NSGA-II over the architectures: what is on a better front, or in a less crowded place of the same, has children."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optimization.front import front
from optimization.pool import mutated, recombined
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates

POPULATION = 16
"""Survivors that may have children; also the trials that come from a Sobol sequence first."""

CROSSED = 0.9
"""Share of the children that have two parents, as usual for NSGA-II; each is then mutated in one dimension or more."""

ATTEMPTS = 64
"""Children drawn for each that is wanted: most of them may be tried already."""


class EvolutionStrategy:
    """Steady-state NSGA-II, worked out anew from the trials at every call, so that it has no state of its own.

    The population is the best of all completed trials, by fronts and then by crowding distance; parents are the
    winners of two. It needs no model and takes a few milliseconds.

    References: Deb, Pratap, Agarwal, Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II".
    """

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        free = candidates(study, trials)
        begun = sum(trial.standing is not Standing.FAILED for trial in trials)
        survivors = _survivors(study, trials)
        if count < 1 or begun < min(POPULATION, study.space.size // 2) or len(survivors) < 2:
            return SobolStrategy().suggest(study, trials, count)
        generator = np.random.default_rng([study.seed, len(trials)])
        rows: list[int] = []
        for row in _children(study, survivors, ATTEMPTS * count, generator):
            if len(rows) == count:
                break
            if free[row]:
                free[row] = False
                rows.append(row)
        suggestions = [Suggestion(architecture=study.space.architecture(row), strategy="evolution") for row in rows]
        if len(rows) < count:  # every child was tried already
            taken = [StrategyTrial(architecture=each.architecture, standing=Standing.PENDING) for each in suggestions]
            suggestions += SobolStrategy().suggest(study, [*trials, *taken], count - len(rows))
        return suggestions


def _children(study: StrategyStudy, survivors: Sequence[int], count: int, generator: np.random.Generator) -> list[int]:
    """`survivors` best first."""
    # The winner of two drawn at random is the one that stands first.
    mothers, fathers = np.asarray(survivors)[generator.integers(len(survivors), size=(2, count, 2)).min(axis=2)]
    crossed = recombined(study.space, mothers, fathers, generator)
    parents = np.where(generator.random(count) < CROSSED, crossed, mothers)
    return [int(row) for row in mutated(study.space, parents, generator)]


def _survivors(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> list[int]:
    """Rows of the population, best first."""
    whole = [
        trial
        for trial in trials
        if trial.standing is Standing.COMPLETED
        and all(math.isfinite(trial.metrics.get(o.metric, math.nan)) for o in study.objectives)
        and study.space.index(trial.architecture) is not None
    ]
    left = list(range(len(whole)))
    ordered: list[int] = []
    while left and len(ordered) < POPULATION:
        best = [left[place] for place in front(study.objectives, [whole[index].metrics for index in left])]
        losses = np.array([[whole[index].metrics[o.metric] for o in study.objectives] for index in best])
        ordered += [best[place] for place in np.argsort(-crowding(losses), kind="stable")]
        left = [index for index in left if index not in best]
    rows = [study.space.index(whole[index].architecture) for index in ordered[:POPULATION]]
    return [row for row in rows if row is not None]


def crowding(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far apart the neighbours of each point of a front are, summed over objectives as shares of their ranges.

    (points, objectives) -> (points,); infinite at the ends.
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order] / (np.abs(column).max() or 1.0)
        width = (ordered[-1] - ordered[0]) or 1.0
        distances[order[[0, -1]]] = math.inf
        distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / width
    return distances
