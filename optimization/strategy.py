"""What every strategy is: a function of the study and its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optimization.values import Constraint, Objective
from search_space import Architecture, SearchSpace

Values = npt.NDArray[np.float64]


class Standing(StrEnum):
    """What a trial tells a strategy."""

    PENDING = "pending"
    """Chosen and not finished; some metrics (latency, parameters) may be known already."""
    COMPLETED = "completed"
    INFEASIBLE = "infeasible"
    """Evaluated and out of bounds; the metrics that were taken are there."""
    STOPPED = "stopped"
    """Ended early, because it would not have come to the front. Of the metric that training changes there is the
    forecast, with its variance: an estimate, and no place on the front."""
    FAILED = "failed"
    """The evaluation broke: tells nothing but not to try it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTrial:
    """One trial as a strategy sees it. `variances` are of the metrics' observation noise, where known.

    `metrics` are those of the search (flash fidelity), `full` those that were taken again at full fidelity, if any.
    `broke_bound` says that the trial is infeasible for breaking a constraint, whatever `metrics` look like now.
    """

    architecture: Architecture
    standing: Standing
    metrics: Mapping[str, float] = field(default_factory=dict)
    variances: Mapping[str, float] = field(default_factory=dict)
    full: Mapping[str, float] = field(default_factory=dict)
    broke_bound: bool = False


class Predictor(Protocol):
    """What is known of a metric of every architecture before any trial, such as a calibrated latency."""

    def predict(self, space: SearchSpace) -> tuple[Values, Values]:
        """Natural logarithms' means and standard deviations, each (space.size,); a deviation of 0 is exact."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStudy:
    """One study as a strategy sees it.

    `space` already leaves out what is known to break a constraint on parameters. Metrics are in their own units;
    a strategy scales them itself. The costs of `search_space` (`parameters`, `flops`, ...) are known in closed form.

    Args:
        reference: what hypervolume is counted from, where the user says so; else it is inferred from all completed
            trials at every suggestion, so that nothing on the front is ever beyond it.
        predictors: by metric.
        sources: the trials of earlier studies of this space, on another device or task.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    seed: int = 0
    reference: Mapping[str, float] | None = None
    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    sources: tuple[tuple[StrategyTrial, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """An architecture to try next, and why.

    Args:
        strategy: what chose it.
        predicted: the metrics that a model expects, if one was asked.
        deviations: how uncertain it is of them: standard deviations in the metrics' own units.
        acquisition: what the model expects of trying it, as the logarithm of the hypervolume gained.
        observations: how many values of each metric the model had.
        seconds: what choosing it took, with those that were chosen at once; no part of what is chosen, so suggestions
            are compared without it.
        fallback: why it was not chosen as the strategy would, past its deadline for instance.
    """

    architecture: Architecture
    strategy: str
    predicted: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    acquisition: float | None = None
    observations: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = field(default=None, compare=False)
    fallback: str | None = None


class Strategy(Protocol):
    """Chooses which architectures to try next. Has no state of its own beyond its arguments and the study's seed."""

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        """At most `count` architectures of the space, none of them among `trials` or twice.

        Fewer than `count` only when the space has no more that were not tried. The same arguments give the same
        answer.
        """
        ...
