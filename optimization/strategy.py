"""What every strategy is: a function of the study and its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from optimization.values import Constraint, Objective
from search_space import Architecture, SearchSpace


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
    """One trial as a strategy sees it. `variances` are of the metrics' observation noise, where known."""

    architecture: Architecture
    standing: Standing
    metrics: Mapping[str, float] = field(default_factory=dict)
    variances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStudy:
    """One study as a strategy sees it.

    `space` already leaves out what is known to break a constraint on parameters. Metrics are in their own units;
    a strategy scales them itself.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """An architecture to try next. `strategy` names what chose it; `predicted` holds posterior means, if any."""

    architecture: Architecture
    strategy: str
    predicted: Mapping[str, float] = field(default_factory=dict)


class Strategy(Protocol):
    """Chooses which architectures to try next. Has no state of its own beyond its arguments and the study's seed."""

    def suggest(self, study: StrategyStudy, trials: Sequence[StrategyTrial], count: int) -> list[Suggestion]:
        """At most `count` architectures of the space, none of them among `trials` or twice.

        Fewer than `count` only when the space has no more that were not tried. The same arguments give the same
        answer.
        """
        ...
