"""The chain of stages from a teacher over its assistants to a student, as values.

Like `recipe.py` this imports the standard library alone, and may be imported from anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum


class ScheduleKind(StrEnum):
    """How many models teach, one after the other."""

    DIRECT = "direct"
    """The teacher alone."""
    MINIDISC = "minidisc"
    """An assistant that is found in one trial, among slices of the teacher that share their weights."""
    MAXIDISC = "maxidisc"
    """Every assistant that is named, and a student from each; the best student is kept."""


class Ranking(StrEnum):
    """Among which units the least important ones are dropped."""

    GLOBAL = "global"
    """Those of all layers together: layers end up with different sizes."""
    LAYER = "layer"
    """Those of each layer: every layer loses the same share."""


GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Shares of heads, and of neurons, that candidates lack.

References: arXiv:2205.14570, section 3.2.
"""

_OF: dict[str, tuple[ScheduleKind, ...]] = {
    "lambda_": (ScheduleKind.MINIDISC, ScheduleKind.MAXIDISC),
    "sparsities": (ScheduleKind.MINIDISC, ScheduleKind.MAXIDISC),
    "ranking": (ScheduleKind.MINIDISC, ScheduleKind.MAXIDISC),
    "iterations": (ScheduleKind.MINIDISC,),
    "between": (ScheduleKind.MINIDISC,),
    "evaluations": (ScheduleKind.MINIDISC,),
    "patience": (ScheduleKind.MINIDISC,),
}
"""The kinds that an option belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Who teaches whom. The defaults of `minidisc` are those of the published method.

    Args:
        lambda_: weight of smallness against quality in t(s) = m(s) + lambda (1 - s), by which the assistant is chosen;
            m is the task's metric on the selection split, s the share of the teacher's blocks that is kept.
        iterations: how many assistants follow each other at most.
        sparsities: shares of units that the candidates for assistant lack, or, of `maxidisc`, the assistants.
        ranking: among which units the least important ones are dropped.
        between: candidates that learn in a step beside the largest and the smallest; None for all of them.
        evaluations: how often, evenly spread over a stage, every candidate is evaluated.
        patience: evaluations without a better one after which a stage ends early, with its best weights; 0 for never.

    Raises:
        ValueError: a number out of its range, or an option that this kind does not have.

    References: arXiv:2205.14570.
    """

    kind: ScheduleKind = ScheduleKind.DIRECT
    lambda_: float = 0.2
    iterations: int = 1
    sparsities: tuple[float, ...] = GRID
    ranking: Ranking = Ranking.GLOBAL
    between: int | None = None
    evaluations: int = 4
    patience: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", ScheduleKind(self.kind))
        object.__setattr__(self, "ranking", Ranking(self.ranking))
        object.__setattr__(self, "sparsities", tuple(sorted(self.sparsities)))
        for field in fields(self):
            belongs = self.kind in _OF.get(field.name, tuple(ScheduleKind))
            if not belongs and getattr(self, field.name) != field.default:
                raise ValueError(f"{_written(field.name)} says nothing of the schedule {self.kind}; leave it out")
        if not (math.isfinite(self.lambda_) and self.lambda_ >= 0):
            raise ValueError(f"lambda must be a number of at least 0, got {self.lambda_}")
        for name, least in (("iterations", 1), ("evaluations", 1), ("patience", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.between is not None and self.between < 0:
            raise ValueError(f"between must be at least 0, got {self.between}")
        self._check_sparsities()

    def _check_sparsities(self) -> None:
        given = list(self.sparsities)
        for sparsity in given:
            if not 0 <= sparsity < 1:
                raise ValueError(f"sparsities are shares of units in [0, 1), got {sparsity}")
        if len(set(given)) < len(given):
            raise ValueError(f"sparsities must differ, got {given}")
        if self.kind is ScheduleKind.MINIDISC and len(given) < 2:
            raise ValueError(
                f"sparsities must be at least two for {self.kind}, or there is nothing to choose from, got {given};"
                f" `{ScheduleKind.MAXIDISC}` takes one assistant"
            )
        if not given:
            raise ValueError("sparsities: at least one is needed")


DIRECT = Schedule()


def _written(name: str) -> str:
    """As people write it."""
    return name.removesuffix("_")
