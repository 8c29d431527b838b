"""Multi-objective Bayesian optimisation over the architectures themselves."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from optimization.deadline import Clock, Deadline
from optimization.errors import reason_of
from optimization.evolution import EvolutionStrategy
from optimization.sobol import SobolStrategy
from optimization.start import is_started, start
from optimization.strategy import StrategyStudy, StrategyTrial, Suggestion
from optimization.untried import candidates

logger = logging.getLogger(__name__)

DEADLINE_S = 30.0
"""Many times what a suggestion takes: reached where a machine is overloaded, or a study has thousands of trials."""


class ParetoStrategy:
    """Suggests what should add most hypervolume to the front, as models of the trials so far believe.

    A space is finite and its costs are known, so nothing is optimised by gradients: a pool of architectures (all of a
    small space) is scored at once. Accuracy is modelled from the trials that have one, latency from all that have one
    or from a predictor, parameters and other closed-form costs not at all. Bounds on what is known exclude; others, and
    what else made trials infeasible, count by their probability. It is rebuilt from the trials at every call.

    Args:
        deadline_s: after which a cheaper choice is made, which `Suggestion.strategy` then says: the one thing besides
            its arguments that the answer depends on.
    """

    def __init__(self, deadline_s: float = DEADLINE_S, clock: Clock = time.monotonic) -> None:
        self._deadline_s = deadline_s
        self._clock = clock

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        free = candidates(study, trials)
        if count < 1 or free.sum() <= count:  # nothing to choose
            return SobolStrategy().suggest(study, trials, count)
        if not is_started(study, trials):
            return start(study, trials, count, self._deadline)
        from optimization.pareto_search import propose  # takes seconds at the first time, which are no part of a choice

        deadline = self._deadline()
        try:
            proposals, observations = propose(study, trials, count, free, deadline)
        except Exception as error:
            # Too little time, or whatever breaks inside BoTorch, must not stop a study.
            reason = reason_of(error)
            logger.warning("the model made no proposal (%s); evolving the front instead", reason)
            logger.debug("the model failed", exc_info=error)
            suggestions = EvolutionStrategy().suggest(study, trials, count)
            return [
                replace(
                    suggestion,
                    strategy=f"{suggestion.strategy} (pareto: {reason})",
                    seconds=deadline.passed_s,
                    fallback=reason,
                )
                for suggestion in suggestions
            ]
        return [
            Suggestion(
                architecture=study.space.architecture(proposal.row),
                strategy=f"pareto (in haste: {deadline.reason})" if proposal.late else "pareto",
                predicted=proposal.predicted,
                deviations=proposal.deviations,
                acquisition=proposal.acquisition,
                observations=observations,
                seconds=deadline.passed_s,
                fallback=deadline.reason if proposal.late else None,
            )
            for proposal in proposals
        ]

    def _deadline(self) -> Deadline:
        return Deadline(self._deadline_s, self._clock)
