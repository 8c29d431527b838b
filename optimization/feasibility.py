"""How probable it is that a trial meets the study's constraints, and is not found infeasible for another reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from optimization.features import Rows
from optimization.observations import Observations
from optimization.quiet import quiet
from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.surrogate import LEAST_VARIANCE, Belief
from optimization.values import Constraint, Direction

with quiet():
    import torch
    from torch import Tensor
    from torch.special import log_ndtr

LABEL_VARIANCE = 0.1
"""Of a trial's being feasible (1) or not (-1), beside what its neighbours say."""


def log_probability(constraint: Constraint, belief: Belief, logarithmic: bool) -> Tensor:
    """Of meeting one bound, (rows,)."""
    if logarithmic and constraint.bound <= 0:  # the metric is positive
        return torch.full_like(belief.mean, 0.0 if constraint.at_least else -math.inf)
    bound = math.log(constraint.bound) if logarithmic else constraint.bound
    deviation = belief.covariance.diagonal().clamp_min(LEAST_VARIANCE).sqrt()
    distance = (belief.mean - bound) if constraint.at_least else (bound - belief.mean)
    probability: Tensor = log_ndtr(distance / deviation)
    return probability


def log_probability_of_label(belief: Belief) -> Tensor:
    """Of being feasible, where labels are 1 and -1; (rows,)."""
    deviation = (belief.covariance.diagonal().clamp_min(0.0) + LABEL_VARIANCE).sqrt()
    probability: Tensor = log_ndtr(belief.mean / deviation)
    return probability


def labels(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> Observations | None:
    """1 for completed trials, -1 for infeasible ones that break no bound (out of memory, say); None without those."""
    found = []
    for trial in trials:
        row = study.space.index(trial.architecture)
        if row is None:
            continue
        if trial.standing is Standing.COMPLETED:
            found.append((row, 1.0))
        elif trial.standing is Standing.INFEASIBLE and not trial.broke_bound and not breaks(study.constraints, trial):
            found.append((row, -1.0))
    if all(label > 0 for _, label in found):
        return None
    rows: Rows = np.array([row for row, _ in found], dtype=np.intp)
    return Observations(
        metric="feasible",
        rows=rows,
        values=np.array([label for _, label in found]),
        variances=np.full(len(found), LABEL_VARIANCE),
        full=np.zeros(len(found), dtype=np.bool_),
        logarithmic=False,
    )


def breaks(constraints: Sequence[Constraint], trial: StrategyTrial) -> bool:
    return any(constraint.met(trial.metrics) is False for constraint in constraints)


def is_side_of(constraint: Constraint, study: StrategyStudy) -> bool:
    """Whether the bound cuts off the bad end of an objective: then nothing beyond it counts as gained, and that is
    all that has to be known of it."""
    return any(
        objective.metric == constraint.metric and (objective.direction is Direction.MAXIMIZE) == constraint.at_least
        for objective in study.objectives
    )
