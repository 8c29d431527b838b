"""A study's trials as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.plots import Numbers, PointsView
from protocol.study import StudySpec
from protocol.views import TrialState
from search_space import Architecture, preset
from search_space.grid import FIELDS
from search_space.space import SEARCHABLE
from service.operations.front import present_front
from service.operations.studies import get_study
from service.store.tables import Study
from service.store.trials import Plain
from service.store.unit_of_work import UnitOfWork

DEFAULTS = tuple(field.default for field in Architecture.__dataclass_fields__.values())
MOST_KNOWN = 30_000
"""Shapes in memory: what is told of one is computed when it is first asked for."""


@dataclass(frozen=True, slots=True)
class _Shape:
    label: str
    values: dict[str, Any]


def points_view(uow: UnitOfWork, name: str) -> PointsView:
    """Raises: NotFoundError."""
    study = get_study(uow, name)
    trials = uow.trials.columns(study.id)
    shapes = shapes_of(uow, study, trials)
    best = present_front(uow, study).numbers
    full = uow.trials.full_values(study.id)
    metric = str(study.spec.task.metric)
    return PointsView.model_construct(
        numbers=tuple(trial.number for trial in trials),
        states=tuple(TrialState(trial.state) for trial in trials),
        labels=tuple(shape.label for shape in shapes),
        origins=tuple(trial.origin for trial in trials),
        on_front=tuple(trial.number in best for trial in trials),
        metrics=_columns([trial.metrics for trial in trials]),
        deviations={
            name: tuple(None if value is None else math.sqrt(value) for value in column)
            for name, column in _columns([trial.variances for trial in trials]).items()
        },
        dimensions=dimensions_of(study.spec, shapes),
        full={metric: tuple(full.get(trial.id) for trial in trials)} if full else {},
        predicted=_columns([predictions(trial) for trial in trials]),
    )


def shapes_of(uow: UnitOfWork, study: Study, trials: Sequence[Plain]) -> list[_Shape]:
    """Of each trial, its architecture's label and dimensions."""
    keys = {trial.architecture_key for trial in trials}
    unknown = keys - _SHAPES.keys()
    # Taken now: others may make room for their own meanwhile.
    known = {key: shape for key in keys - unknown if (shape := _SHAPES.get(key)) is not None}
    for key, stored in uow.trials.architectures(study.id, keys - known.keys()).items():
        known[key] = _shape(stored)
    if len(_SHAPES) + len(unknown) > MOST_KNOWN:
        _SHAPES.clear()
    _SHAPES.update(known)
    return [known[trial.architecture_key] for trial in trials]


_SHAPES: dict[str, _Shape] = {}
"""By the architecture's key, that stands for the same shape everywhere."""


def dimensions_of(spec: StudySpec, shapes: Sequence[_Shape]) -> dict[str, tuple[Any, ...]]:
    """What the search space varies, and what else differs among the trials: baselines may lie outside of it."""
    columns = {name: tuple(shape.values[name] for shape in shapes) for name in SEARCHABLE}
    varied = _varied(spec)
    return {name: column for name, column in columns.items() if name in varied or _differs(column)}


def predictions(trial: Plain) -> dict[str, float]:
    """What was expected of the trial: by its strategy, else by a calibration."""
    told = trial.predicted_latency
    return trial.predicted if told is None else {f"latency_{told['quantile']}": told["latency_s"], **trial.predicted}


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Numbers]:
    names = sorted({name for row in rows for name in row})
    return {name: tuple(row.get(name) for row in rows) for name in names}


def _varied(spec: StudySpec) -> set[str]:
    space = spec.search_space
    dimensions = preset(space).dimensions if isinstance(space, str) else space.dimensions
    return {name for name, dimension in dimensions.items() if len(dimension.values) > 1}


def _differs(column: Iterable[Any]) -> bool:
    values = iter(column)
    first = next(values, None)
    return any(value != first for value in values)


def _shape(stored: Mapping[str, Any]) -> _Shape:
    values = [stored.get(name, default) for name, default in zip(FIELDS, DEFAULTS, strict=True)]
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    # It was checked when it was stored; checking it again takes longer than all the rest.
    return _Shape(Architecture.of_valid(values).label, dict(zip(FIELDS, values, strict=True)))
