"""What is tried before there is a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion

FEWEST_TRIALS = 5
FEWEST_COMPLETED = 2
"""Completed trials that a model needs: with one there is no variation to learn from."""


def start_size(study: StrategyStudy) -> int:
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


def start(study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
    return SobolStrategy().suggest(study, trials, count)
