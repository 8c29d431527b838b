"""A study's trials as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from protocol.plots import Numbers, PointsView
from protocol.study import StudySpec
from search_space import Architecture, preset
from search_space.grid import FIELDS
from search_space.space import SEARCHABLE
from service.operations.front import completed, front_numbers
from service.operations.studies import get_study
from service.store.trials import Plain
from service.store.unit_of_work import UnitOfWork

DEFAULTS = {name: field.default for name, field in Architecture.__dataclass_fields__.items()}


def points_view(uow: UnitOfWork, name: str) -> PointsView:
    """Raises: NotFoundError."""
    study = get_study(uow, name)
    trials = uow.trials.columns(study.id)
    best = set(front_numbers(study, completed(uow, study)))
    full = uow.trials.full_values(study.id)
    metric = str(study.spec.task.metric)
    return PointsView.model_construct(
        numbers=tuple(trial.number for trial in trials),
        states=tuple(trial.state for trial in trials),
        labels=tuple(_label(trial.architecture) for trial in trials),
        origins=tuple(trial.origin for trial in trials),
        on_front=tuple(trial.number in best for trial in trials),
        metrics=_columns([trial.metrics for trial in trials]),
        deviations={
            name: tuple(None if value is None else math.sqrt(value) for value in column)
            for name, column in _columns([trial.variances for trial in trials]).items()
        },
        dimensions=dimensions_of(study.spec, trials),
        full={metric: tuple(full.get(trial.id) for trial in trials)} if full else {},
        predicted=_columns([predictions(trial) for trial in trials]),
    )


def dimensions_of(spec: StudySpec, trials: Sequence[Plain]) -> dict[str, tuple[Any, ...]]:
    """What the search space varies, and what else differs among the trials: baselines may lie outside of it."""
    columns = {name: tuple(_value(trial.architecture, name) for trial in trials) for name in SEARCHABLE}
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


def _value(stored: Mapping[str, Any], name: str) -> Any:
    value = stored.get(name, DEFAULTS[name])
    return tuple(value) if isinstance(value, list) else value


def _label(stored: Mapping[str, Any]) -> str:
    return _known_label(tuple(_value(stored, name) for name in FIELDS))


@lru_cache(maxsize=50_000)
def _known_label(values: tuple[Any, ...]) -> str:
    # It was checked when it was stored; checking it again takes longer than all the rest.
    return Architecture.of_valid(values).label
