"""How many trials a study may still begin."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.study import Budget
from protocol.views import TrialState

SUPPLIED_AHEAD = 1
"""Trials that wait beside those that run in parallel, so that a worker that asks never waits for a strategy."""

MOST_TRIALS = 2
"""All trials together, failed ones too, are at most this many times the budget: failures must not go on for ever."""


def still_to_suggest(budget: Budget, trials: Mapping[TrialState, int], device_s: float = 0.0) -> int:
    """How many trials the budget has left, after so many device-seconds; failed ones do not count against it."""
    if budget.device_hours is not None and device_s >= 3600 * budget.device_hours:
        return 0
    total = sum(trials.values())
    failed = trials.get(TrialState.FAILED, 0)
    return max(0, min(budget.trials - (total - failed), MOST_TRIALS * budget.trials - total))


def open_trials(trials: Mapping[TrialState, int]) -> int:
    """How many trials have not ended."""
    return sum(count for state, count in trials.items() if not state.ended)


def wanted_now(budget: Budget, trials: Mapping[TrialState, int], device_s: float = 0.0) -> int:
    """How many more trials should be begun at once, after so many device-seconds."""
    ahead = budget.parallel + SUPPLIED_AHEAD - open_trials(trials)
    return max(0, min(ahead, still_to_suggest(budget, trials, device_s)))
