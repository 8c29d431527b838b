"""By what an assistant is chosen: how good it is, and how small.

    t(s) = m(s) + lambda * (1 - s)

with s the share of the teacher's encoder parameters, those of its blocks, that a candidate keeps, and m its metric on
the selection split.

References: arXiv:2205.14570, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from distillation.errors import TeacherError
from distillation.values import Estimate, Metric
from search_space import Architecture

TARGET = -1.0
"""The sparsity of a target that is not on the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate, or one assistant, as it was judged.

    Args:
        sparsity: its point of the grid, -1 of a target beside it.
        share: s, of the teacher's encoder parameters.
        selection: its metric on the selection split.
        tradeoff: t(s).
        student: of an exhaustive search, the metric of the student that it taught.
    """

    sparsity: float
    architecture: Architecture
    share: float
    selection: Estimate
    tradeoff: float
    student: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The candidates for one assistant, from the largest to the smallest.

    `chosen` is the place of the one that became the assistant; None where the target itself was best.
    """

    points: tuple[Point, ...]
    chosen: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistance:
    """Who taught the student besides the teacher: one round for each assistant that was looked for, or, of an
    exhaustive search, that was tried. `together` are the slices that learned with the student, itself among them.
    """

    rounds: tuple[Round, ...] = ()
    together: tuple[Architecture, ...] = ()


def tradeoff(metric: float, share: float, lambda_: float) -> float:
    """t(s)."""
    return metric + lambda_ * (1 - share)


def best(points: Sequence[Point], among: Iterable[int]) -> int:
    """Of these places that of the greatest t; of equals the first, which is the largest."""
    return max(among, key=lambda place: (points[place].tradeoff, -place))


def merit(point: Point) -> Estimate:
    """Its t as an estimate, as far around it as its metric's interval."""
    beyond = point.tradeoff - point.selection.value
    metric = point.selection
    return replace(metric, value=point.tradeoff, low=metric.low + beyond, high=metric.high + beyond)


def check_metric(metric: Metric) -> None:
    """Raises: TeacherError: what the task is judged by cannot be weighed against a share."""
    if metric.lower_is_better:
        raise TeacherError(
            f"task.metric: an assistant is chosen by a metric of at most 1 that is to be large, and {metric} is none;"
            f" use {Metric.ACCURACY}, or `schedule: direct`"
        )
