"""When a running trial can no longer come to the front.

Latency and size are known before training, so only its quality can still save a trial. It is stopped when even the
optimistic end of its forecast quality is dominated, or breaks a constraint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from optimization.curves import Curve, Forecast, forecast
from optimization.errors import OptimizationError
from optimization.values import Constraint, Direction, Objective

NORMAL_95 = 1.6449
"""95 % quantile of the standard normal distribution, one-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTrial:
    """What is known of a trial: metrics, the variances of their observation noise, and its curve of the metric that is
    learnt, in that metric's own units.
    """

    metrics: Mapping[str, float]
    variances: Mapping[str, float] = field(default_factory=dict)
    curve: Curve | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The metric that training changes; `relative` where only ratios of its values mean something (perplexity)."""

    metric: str
    direction: Direction
    relative: bool = False

    def goodness(self, value: float) -> float:
        """Higher is better.

        Raises:
            ValueError: a relative metric that is not above 0.
        """
        scaled = math.log(value) if self.relative else value
        return scaled if self.direction is Direction.MAXIMIZE else -scaled

    def value(self, goodness: float) -> float:
        scaled = goodness if self.direction is Direction.MAXIMIZE else -goodness
        return math.exp(scaled) if self.relative else scaled

    def noise(self, trial: KnownTrial) -> float:
        """The variance of an ended trial's goodness, 0 where nobody knows it."""
        variance = trial.variances.get(self.metric, 0.0)
        return variance / trial.metrics[self.metric] ** 2 if self.relative else variance


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a trial stands. `expected`, its `variance` and `optimistic` are in the metric's own units.

    `dominated_by` is the index of the completed trial that dominates it even at its optimistic end, `broken` the
    constraint that it cannot meet even there. One of them is enough to stop it.
    """

    expected: float
    variance: float
    optimistic: float
    curves: int
    dominated_by: int | None = None
    broken: Constraint | None = None

    @property
    def stops(self) -> bool:
        return self.dominated_by is not None or self.broken is not None


class Forecaster(Protocol):
    """`optimization.curves.forecast`, or what it is compared with."""

    def __call__(self, ended: Sequence[Curve], running: Curve, *, noise: float) -> Forecast | None: ...


def decide(
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    learnt: Learnt,
    completed: Sequence[KnownTrial],
    ended: Sequence[KnownTrial],
    running: KnownTrial,
    *,
    forecaster: Forecaster = forecast,
) -> Decision | None:
    """Whether the running trial shall go on; None where nothing can be said, which means that it shall.

    A completed trial dominates it that is at least as good as its optimistic end, surely (95 %, given the noise of
    both) at least as good in every other objective, and better in one. Trials that miss a metric dominate nobody; a
    running trial that misses another than the learnt one is not judged.

    Args:
        ended: the trials that trained to their end, whatever came of them: their curves teach what to expect.

    Raises:
        OptimizationError: the learnt metric is none of the objectives.
    """
    if learnt.metric not in {objective.metric for objective in objectives}:
        raise OptimizationError(f"{learnt.metric} is none of the objectives")
    others = [objective for objective in objectives if objective.metric != learnt.metric]
    if any(not _is_known(running, objective.metric) for objective in others):
        return None
    found = _forecast(learnt, ended, running, forecaster)
    if found is None:
        return None
    expected, best = learnt.value(found.expected), learnt.value(found.optimistic)
    dominating = [
        (learnt.goodness(trial.metrics[learnt.metric]), -index)
        for index, trial in enumerate(completed)
        if _is_known(trial, learnt.metric) and _dominates(learnt, others, trial, running, found.optimistic)
    ]
    return Decision(
        expected=expected,
        variance=found.variance * (expected**2 if learnt.relative else 1.0),
        optimistic=best,
        curves=found.curves,
        dominated_by=-max(dominating)[1] if dominating else None,
        broken=next((one for one in constraints if _out_of_reach(learnt, one, best)), None),
    )


def _forecast(
    learnt: Learnt, ended: Sequence[KnownTrial], running: KnownTrial, forecaster: Forecaster
) -> Forecast | None:
    if running.curve is None:
        return None
    known = [trial for trial in ended if trial.curve is not None and _is_known(trial, learnt.metric)]
    noises = sorted(learnt.noise(trial) for trial in known)
    return forecaster(
        [_as_goodness(learnt, trial.curve) for trial in known if trial.curve is not None],
        _as_goodness(learnt, running.curve),
        noise=noises[len(noises) // 2] if noises else 0.0,
    )


def _as_goodness(learnt: Learnt, curve: Curve) -> Curve:
    return Curve(
        shares=curve.shares,
        values=tuple(learnt.goodness(value) for value in curve.values),
        final=None if curve.final is None else learnt.goodness(curve.final),
    )


def _dominates(
    learnt: Learnt, others: Sequence[Objective], trial: KnownTrial, running: KnownTrial, optimistic: float
) -> bool:
    better = learnt.goodness(trial.metrics[learnt.metric]) - optimistic
    leads = [better]
    for objective in others:
        if not _is_known(trial, objective.metric):
            return False
        lead = running.metrics[objective.metric] - trial.metrics[objective.metric]
        lead = lead if objective.direction is Direction.MINIMIZE else -lead
        noise = trial.variances.get(objective.metric, 0.0) + running.variances.get(objective.metric, 0.0)
        leads.append(lead - NORMAL_95 * math.sqrt(noise))
    return min(leads) >= 0 and max(leads) > 0


def _out_of_reach(learnt: Learnt, constraint: Constraint, best: float) -> bool:
    """Whether the constraint asks for more quality than the best that can be hoped for."""
    asks_for_more = constraint.at_least == (learnt.direction is Direction.MAXIMIZE)
    return constraint.metric == learnt.metric and asks_for_more and constraint.met({learnt.metric: best}) is False


def _is_known(trial: KnownTrial, metric: str) -> bool:
    return math.isfinite(trial.metrics.get(metric, math.nan))
