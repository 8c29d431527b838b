"""What is tried before there is a model."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optimization.deadline import Deadline
from optimization.features import Rows
from optimization.observations import allowed
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion

logger = logging.getLogger(__name__)

AHEAD = 255
"""How much further along the sequence is looked for what is likely feasible."""

FEWEST_TRIALS = 5
FEWEST_COMPLETED = 2
"""Completed trials that a model needs: with one there is no variation to learn from."""


def start_size(study: StrategyStudy) -> int:
    """One more than the dimensions that vary, whatever earlier studies say: their worth is judged by these trials."""
    varying = sum(len(dimension.values) > 1 for dimension in study.space.dimensions.values())
    return max(FEWEST_TRIALS, varying + 1)


def is_started(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> bool:
    """Whether the start is over and enough of it has finished for a model."""
    size = start_size(study)
    begun = [trial for trial in trials if trial.standing is not Standing.FAILED]
    finished = [trial for trial in begun if trial.standing in (Standing.COMPLETED, Standing.INFEASIBLE)]
    completed = [
        trial
        for trial in finished
        if trial.standing is Standing.COMPLETED
        and all(math.isfinite(trial.metrics.get(o.metric, math.nan)) for o in study.objectives)
    ]
    return len(begun) >= size and 2 * len(finished) >= size and len(completed) >= FEWEST_COMPLETED


def start(study: StrategyStudy, trials: Sequence[StrategyTrial], count: int, deadline: Deadline) -> list[Suggestion]:
    """The Sobol sequence; without what is known to break a bound, and where bounds have turned out to exclude much (or
    are on a predicted metric), without what will probably break one."""
    if not study.constraints:
        return SobolStrategy().suggest(study, trials, count)
    ahead = SobolStrategy().suggest(study, trials, count + AHEAD)
    rows = np.array([study.space.index(each.architecture) for each in ahead], dtype=np.intp)
    order = {int(row): place for place, row in enumerate(rows)}
    inside = allowed(study, rows)
    likely, name = inside, "sobol"
    if len(inside) and _is_worth_modelling(study, trials):
        try:
            likely, name = _likely(study, trials, inside, deadline), "sobol (of what is likely feasible)"
        except Exception as error:
            logger.warning("no model of the constraints (%s); starting without one", error)
    chosen = [(int(row), name) for row in likely]
    chosen += [(row, "sobol") for row in order if row not in set(likely.tolist())]
    return [replace(ahead[order[row]], strategy=by) for row, by in chosen[:count]]


def _is_worth_modelling(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> bool:
    if any(constraint.metric in study.predictors for constraint in study.constraints):
        return True
    return any(trial.standing is Standing.INFEASIBLE for trial in trials)


def _likely(study: StrategyStudy, trials: Sequence[StrategyTrial], rows: Rows, deadline: Deadline) -> Rows:
    """Those of the rows that are feasible with a probability of a half, or the most that any of them has."""
    from optimization.pareto_model import log_feasible_alone

    values = log_feasible_alone(study, trials, rows, deadline)
    return rows[values >= min(math.log(0.5), float(values.max()))]
