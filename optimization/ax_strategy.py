"""Multi-objective Bayesian optimisation by Ax, started by a Sobol sequence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from optimization.coordinates import Coordinates
from optimization.errors import reason_of
from optimization.sobol import SobolStrategy
from optimization.start import is_started
from optimization.strategy import StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates

logger = logging.getLogger(__name__)


class AxStrategy:
    """The first trials come from a Sobol sequence, later ones from Ax's model of all trials so far.

    Ax is told every dimension as a real number, since it optimises those by gradients; what it proposes becomes the
    nearest valid architecture that was not tried. It is rebuilt from the trials at every call.
    When Ax fails, the suggestion comes from the Sobol sequence, and its `strategy` says why.
    """

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        free = candidates(study, trials)
        if count < 1 or free.sum() <= count:  # nothing to choose
            return SobolStrategy().suggest(study, trials, count)
        if not is_started(study, trials):
            return SobolStrategy().suggest(study, trials, count)
        try:
            from optimization.ax_model import propose

            proposals = propose(study, Coordinates(study.space), trials, count, free)
        except Exception as error:
            # Whatever breaks inside Ax (a matrix that is not positive definite, an unmet precondition of some
            # transform) must not stop a study: a Sobol point is a fair trial too.
            reason = reason_of(error)
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
