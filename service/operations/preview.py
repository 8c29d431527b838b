"""What a study would search, as far as that is known without its teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

import search_space
from encoders.values import HeadKind
from optimization.values import Constraint
from protocol.calibration import CalibrationRecord, LatencyPreview, view_of
from protocol.metrics import info_of
from protocol.study import StudySpec
from protocol.views import ConstraintView, PreviewView, SpreadView
from search_space import ExpressionError, SearchSpace
from search_space.expression import Expression, parsed
from search_space.grid import COSTS, FIELDS
from service.operations.constraints import described

AT_ONCE, TOGETHER, WITH_TEACHER, MEASURED, TRAINED = (
    "at once",
    "only of what meets the others",
    "when the teacher's vocabulary is known",
    "when measured",
    "when distilled",
)


Predicted = Callable[[SearchSpace], tuple[LatencyPreview, ...]]


def preview(spec: StudySpec, predicted: Predicted | None = None) -> PreviewView:
    """What the study would search. A study whose space is empty is none, so there always is something to see.

    `predicted` says what is known of the latencies in a space.
    """
    space = spec.space()
    seen = search_space.preview(space)
    return PreviewView(
        grid_points=seen.grid_points,
        size=seen.valid_points,
        parameters=SpreadView.model_validate(seen.parameters),
        flops=SpreadView.model_validate(seen.flops),
        weight_bytes=SpreadView.model_validate(seen.weight_bytes),
        constraints=tuple(_constraints(spec)),
        latencies=() if predicted is None else predicted(space),
    )


def latency_previews(
    records: Iterable[tuple[str, CalibrationRecord]], spec: StudySpec, space: SearchSpace
) -> tuple[LatencyPreview, ...]:
    """What the first calibration of each machine that serves the study says of the space; `records` with their ids."""
    seen: dict[str, LatencyPreview] = {}
    for identity, record in records:
        if record.hardware_key in seen or not serves(record, spec, spec.task.kind):
            continue
        if record.model.covers(space):
            seen[record.hardware_key] = _of_space(record, identity, space)
    return tuple(seen.values())


def serves(record: CalibrationRecord, spec: StudySpec, kind: HeadKind) -> bool:
    """Whether it is of what the study judges, on its target. Heads of one kind take about as long, whatever their
    classes; a head over all words does not.
    """
    return (record.profile, record.quantile, record.head.kind) == (spec.target, spec.judged_quantiles[0], kind)


def _of_space(record: CalibrationRecord, identity: str, space: SearchSpace) -> LatencyPreview:
    fastest, middle, slowest = np.quantile(record.model.predict(space)[0], (0.0, 0.5, 1.0), method="lower")
    return LatencyPreview(
        calibration=view_of(record, identity),
        fastest_s=math.exp(fastest),
        median_s=math.exp(middle),
        slowest_s=math.exp(slowest),
    )


def _constraints(spec: StudySpec) -> Iterator[ConstraintView]:
    """Each constraint by itself: how many points of the space without any meet it."""
    bounds = [one for one in spec.constraints if _judged(one) == AT_ONCE]
    own = [text for text in spec.space_constraints if not spec.needs_teacher(text)]
    texts = [*own, *(f"{one.metric} <= {one.bound!r}" for one in bounds)]
    free = spec.unconstrained()
    met = iter([_met(free, constraint) for constraint in parsed(texts, (*FIELDS, *COSTS))])
    for text in spec.space_constraints:
        count, otherwise = (next(met), TOGETHER) if text in own else (None, WITH_TEACHER)
        yield ConstraintView(text=text, judged=otherwise if count is None else AT_ONCE, met_by=count, of=free.size)
    for one in spec.constraints:
        count = next(met) if one in bounds else None
        yield ConstraintView(text=described(one), judged=_judged(one), met_by=count, of=free.size)


def _judged(constraint: Constraint) -> str:
    if info_of(constraint.metric).trained:
        return TRAINED
    if constraint.metric != "parameters":
        return MEASURED
    return WITH_TEACHER if constraint.at_least else AT_ONCE


def _met(space: SearchSpace, constraint: Expression) -> int | None:
    """None where it divides by a zero that the other constraints leave out."""
    try:
        return sum(int(constraint.holds(points).sum()) for points in space.chunks())
    except ExpressionError:
        return None
