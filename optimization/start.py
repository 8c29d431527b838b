"""What is tried before there is a model."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from optimization.deadline import Deadline
from optimization.errors import reason_of
from optimization.features import Rows
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates

logger = logging.getLogger(__name__)

AHEAD = 255
"""How much further along the sequence is looked for what is likely feasible."""

ANYWHERE = 4096
"""Architectures that are looked at besides, for where little of the space is feasible."""

FEWEST_TRIALS = 5
FEWEST_COMPLETED = 2
"""Completed trials that a model needs: with one there is no variation to learn from."""


def start_size(study: StrategyStudy) -> int:
    """One more than the dimensions that vary, whatever earlier studies say: their worth is judged by these trials."""
    varying = sum(len(dimension.values) > 1 for dimension in study.space.dimensions.values())
    return max(FEWEST_TRIALS, varying + 1)


def is_started(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> bool:
    """Whether the start is over and enough of it has finished for a model.

    An infeasible trial tells nothing of quality, and makes room for another one, at most once.
    """
    size = start_size(study)
    begun = [trial for trial in trials if trial.standing is not Standing.FAILED]
    useful = sum(trial.standing is not Standing.INFEASIBLE for trial in begun)
    finished = [trial for trial in begun if trial.standing in (Standing.COMPLETED, Standing.INFEASIBLE)]
    completed = [
        trial
        for trial in finished
        if trial.standing is Standing.COMPLETED
        and all(math.isfinite(trial.metrics.get(o.metric, math.nan)) for o in study.objectives)
    ]
    is_long = useful >= size or len(begun) >= 2 * size
    return is_long and 2 * len(finished) >= size and len(completed) >= FEWEST_COMPLETED


def start(
    study: StrategyStudy, trials: Sequence[StrategyTrial], count: int, deadline: Callable[[], Deadline]
) -> list[Suggestion]:
    """The Sobol sequence. Where a trial was infeasible, or a bound is on a predicted metric, only what will probably be
    feasible: of the sequence if it has enough of that, else of anywhere, else the likeliest."""
    free = candidates(study, trials)
    ahead = SobolStrategy().suggest(study, trials, min(count + AHEAD, int(free.sum())))
    if not _is_worth_modelling(study, trials):
        return ahead[:count]
    try:
        from optimization.pareto_model import log_feasible_alone  # takes seconds at the first time: no part of a choice

        anywhere = np.random.default_rng([study.seed, len(trials)]).permutation(np.flatnonzero(free))[:ANYWHERE]
        rows = _distinct([study.space.index(each.architecture) for each in ahead], anywhere)
        chances = log_feasible_alone(study, trials, rows, deadline())
    except Exception as error:
        reason = reason_of(error)
        logger.warning("no model of what is feasible (%s); starting without one", reason)
        return [replace(one, strategy=f"sobol (pareto: {reason})", fallback=reason) for one in ahead[:count]]
    # All that are likely enough are equal, and come in their order.
    best = np.argsort(-np.minimum(chances, math.log(0.5)), kind="stable")[:count]
    return [
        Suggestion(
            architecture=study.space.architecture(int(rows[place])),
            strategy=f"{'sobol' if place < len(ahead) else 'random'} (of what is likely feasible)",
        )
        for place in best
    ]


def _is_worth_modelling(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> bool:
    if any(constraint.metric in study.predictors for constraint in study.constraints):
        return True
    return any(trial.standing is Standing.INFEASIBLE for trial in trials)


def _distinct(first: Sequence[int | None], others: Rows) -> Rows:
    """Those of the space, each once, in their order."""
    return np.array(list(dict.fromkeys([*(row for row in first if row is not None), *others.tolist()])), dtype=np.intp)
