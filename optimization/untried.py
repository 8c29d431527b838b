"""Which points of a search space no trial has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optimization.strategy import StrategyTrial
from search_space import SearchSpace


def untried(space: SearchSpace, trials: Sequence[StrategyTrial]) -> npt.NDArray[np.bool_]:
    """Whether no trial has the point, whatever became of it: one value per row of the space's columns."""
    tried = [row for trial in trials if (row := space.index(trial.architecture)) is not None]
    free = np.ones(space.size, dtype=np.bool_)
    free[tried] = False
    return free
