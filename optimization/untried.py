"""Which points of a search space may be tried next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optimization.observations import allowed
from optimization.strategy import StrategyStudy, StrategyTrial
from search_space import SearchSpace

Booleans = npt.NDArray[np.bool_]


def untried(space: SearchSpace, trials: Sequence[StrategyTrial]) -> Booleans:
    """Whether no trial has the point, whatever became of it: one value per row of the space's columns."""
    tried = [row for trial in trials if (row := space.index(trial.architecture)) is not None]
    free = np.ones(space.size, dtype=np.bool_)
    free[tried] = False
    return free


def candidates(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> Booleans:
    """The untried points that meet every bound on a metric known in closed form; all untried where none does."""
    free = untried(study.space, trials)
    inside = np.zeros_like(free)
    inside[allowed(study, np.flatnonzero(free))] = True
    return inside if inside.any() else free
