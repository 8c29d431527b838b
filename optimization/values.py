"""Objectives and constraints, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LARGEST_VALUE = 1e100
"""Of a metric's size: nobody means more, and the square of it is still a number."""


class Direction(StrEnum):
    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class StrategyName(StrEnum):
    RANDOM = "random"
    SOBOL = "sobol"
    AX = "ax"
    EVOLUTION = "evolution"
    PARETO = "pareto"

    @property
    def is_informed(self) -> bool:
        """Whether it makes use of predictors and of earlier studies."""
        return self is StrategyName.PARETO


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric with a direction."""

    metric: str
    direction: Direction

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", Direction(self.direction))


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound on a metric: `metric <= bound`, or `metric >= bound` with `at_least`."""

    metric: str
    bound: float
    at_least: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.bound):
            raise ValueError(f"the bound of {self.metric} must be finite, got {self.bound}")

    def met(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the metrics satisfy the bound; None while the metric is not known."""
        if self.metric not in metrics:
            return None
        value = metrics[self.metric]
        return value >= self.bound if self.at_least else value <= self.bound
