"""Multi-objective Bayesian optimisation by Ax, started by a Sobol sequence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from optimization.coordinates import Coordinates
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import untried

logger = logging.getLogger(__name__)

FEWEST_TRIALS = 5
"""Trials before the first model, as Ax has it; more where the space has more dimensions."""

FEWEST_COMPLETED = 2
"""Completed trials that a model needs: with one there is no variation to learn from."""


class AxStrategy:
    """The first trials come from a Sobol sequence, later ones from Ax's model of all trials so far.

    Ax is told every dimension as a real number, since it optimises those by gradients; what it proposes becomes the
    nearest valid architecture that was not tried. It is rebuilt from the trials at every call.
    When Ax fails, the suggestion comes from the Sobol sequence, and its `strategy` says why.
    """

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        free = untried(study.space, trials)
        if count < 1 or free.sum() <= count:  # nothing to choose
            return SobolStrategy().suggest(study, trials, count)
        coordinates = Coordinates(study.space)
        if not _enough(study, trials, max(FEWEST_TRIALS, len(coordinates.names) + 1)):
            return SobolStrategy().suggest(study, trials, count)
        try:
            from optimization.ax_model import propose

            proposals = propose(study, coordinates, trials, count, free)
        except Exception as error:
            # Whatever breaks inside Ax (a matrix that is not positive definite, an unmet precondition of some
            # transform) must not stop a study: a Sobol point is a fair trial too.
            reason = _reason(error)
            logger.warning("Ax made no proposal (%s); taking Sobol points instead", reason)
            logger.debug("Ax failed", exc_info=error)
            suggestions = SobolStrategy().suggest(study, trials, count)
            return [replace(one, strategy=f"sobol (ax: {reason})", fallback=reason) for one in suggestions]
        return [
            Suggestion(
                architecture=study.space.architecture(proposal.row),
                strategy="ax",
                predicted=proposal.predicted,
                deviations=proposal.deviations,
            )
            for proposal in proposals
        ]


def _enough(study: StrategyStudy, trials: Sequence[StrategyTrial], start: int) -> bool:
    """Whether the start is over and enough of it has finished for a model."""
    begun = [trial for trial in trials if trial.standing is not Standing.FAILED]
    finished = [trial for trial in begun if trial.standing in (Standing.COMPLETED, Standing.INFEASIBLE)]
    completed = [
        trial
        for trial in finished
        if trial.standing is Standing.COMPLETED and all(o.metric in trial.metrics for o in study.objectives)
    ]
    return len(begun) >= start and 2 * len(finished) >= start and len(completed) >= FEWEST_COMPLETED


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
