"""Random search: the baseline that every other strategy has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimization.strategy import StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates, untried


class RandomStrategy:
    """Goes through the space in an order shuffled by the study's seed, without what was tried."""

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        order = np.random.default_rng(study.seed).permutation(study.space.size)
        inside, left = candidates(study, trials), untried(study.space, trials)
        # What breaks a bound comes last.
        rows = np.concatenate([order[inside[order]], order[(left & ~inside)[order]]])[: max(0, count)]
        return [Suggestion(architecture=study.space.architecture(int(row)), strategy="random") for row in rows]
