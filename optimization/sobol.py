"""Quasi-random search: spreads more evenly than random search, and is what a model starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import qmc

from optimization.strategy import StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates, untried
from search_space import SearchSpace
from search_space.design import row_at

BLOCK = 64
"""Points drawn at once; a power of two keeps the sequence balanced."""

LONGEST = 4096
"""Points after which what is left of the space is taken in random order: the sequence then mostly hits tried points."""


class SobolStrategy:
    """Goes through the space along a scrambled Sobol sequence, without what was tried.

    Asking for one at a time gives the same architectures as asking for many.
    """

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        left = untried(study.space, trials)
        count = min(count, int(left.sum()))
        rows: list[int] = []
        for free in (candidates(study, trials), left):  # what breaks a bound comes last
            free[rows] = False
            for row in _order(study.space, study.seed):
                if len(rows) >= count:
                    break
                if free[row]:
                    free[row] = False
                    rows.append(row)
        return [Suggestion(architecture=study.space.architecture(row), strategy="sobol") for row in rows]


def _order(space: SearchSpace, seed: int) -> Iterator[int]:
    """Rows of the space, each at least once."""
    generator = np.random.default_rng(seed)
    sequence = qmc.Sobol(d=len(space.names), scramble=True, rng=generator)
    for _ in range(LONGEST // BLOCK):
        for point in sequence.random(BLOCK):
            yield row_at(space, point)
    yield from generator.permutation(space.size).tolist()
