"""Earlier studies of the same space that a study learns from: found when it is created, read when it is supplied.

A source may be of another task, teacher or device. Its trials become trials of this study's space by their dimensions
alone: vocabulary, positions and what else follows from the teacher are taken from this study. Latencies keep their
names. The metric of its task stands for this task's, whatever both are called, since strategies look at the order
within each source; it is left out where better is the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from optimization.pool import BROUGHT
from optimization.strategy import StrategyTrial
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from search_space import SearchSpace
from service.errors import InvalidError
from service.operations.evidence import strategy_trials
from service.store.tables import Study
from service.store.unit_of_work import UnitOfWork


def resolve_sources(uow: UnitOfWork, spec: StudySpec) -> tuple[str, ...]:
    """A note on each source of the study, for people.

    Raises:
        InvalidError: one is unknown, has not ended, or searches other dimensions; the message names key and study.
    """
    return tuple(_resolved(uow, spec, f"sources.{place}", name) for place, name in enumerate(spec.sources))


def source_trials(uow: UnitOfWork, study: Study, space: SearchSpace) -> tuple[tuple[StrategyTrial, ...], ...]:
    """Of each source that is still there, its trials that lie in the space."""
    found = (uow.studies.find(name) for name in study.spec.sources)
    return tuple(_moved(uow, source, study.spec, space) for source in found if source is not None)


def source_notes(uow: UnitOfWork, study: Study, space: SearchSpace) -> tuple[str, ...]:
    """How much of each source lies in the space, once the teacher is known."""
    found = (uow.studies.find(name) for name in study.spec.sources)
    return tuple(
        f"source {source.name}: {len(_moved(uow, source, study.spec, space))} of its trials lie in this search space"
        for source in found
        if source is not None
    )


def _resolved(uow: UnitOfWork, spec: StudySpec, key: str, name: str) -> str:
    source = uow.studies.find(name)
    if source is None:
        near = get_close_matches(name, uow.studies.names(), n=1)
        raise InvalidError(f"{key}: there is no study {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    if not source.state.ended and source.state is not StudyState.STOPPED:
        raise InvalidError(f"{key}: study {name!r} is {source.state}: name it when it has ended")
    differing = _differing(spec, source.spec)
    if differing:
        raise InvalidError(f"{key}: study {name!r} searches other dimensions: {differing}")
    completed = uow.trials.counts(source.id).get(TrialState.COMPLETED, 0)
    if not completed:
        raise InvalidError(f"{key}: study {name!r} has no completed trial to learn from")
    return f"learns from study {name}: {completed} completed trials{_differences(spec, source.spec)}"


def _differing(own: StudySpec, other: StudySpec) -> str:
    here, there = own.unconstrained().dimensions, other.unconstrained().dimensions
    parts = [f"it has no {name}" for name in here if name not in there]
    parts += [f"{name} is a dimension there alone" for name in there if name not in here]
    parts += [
        f"no value of {name} is in both"
        for name in here
        if name in there and not set(here[name].values) & set(there[name].values)
    ]
    return "; ".join(parts)


def _differences(own: StudySpec, other: StudySpec) -> str:
    """What people should know of another task or device."""
    said = ""
    if other.target.key != own.target.key:
        said += f"; its latencies are of {other.target.label}"
    if not _is_alike(own, other):
        said += f"; its {other.task.metric} is left out, as better is the other way round than for {own.task.metric}"
    elif other.task.metric != own.task.metric:
        said += f"; its {other.task.metric} stands for {own.task.metric}"
    return said


def _is_alike(own: StudySpec, other: StudySpec) -> bool:
    """Whether better is the same way round for both tasks' metrics."""
    return bool(own.task.metric.lower_is_better == other.task.metric.lower_is_better)


def _moved(uow: UnitOfWork, source: Study, spec: StudySpec, space: SearchSpace) -> tuple[StrategyTrial, ...]:
    own, other = str(spec.task.metric), str(source.spec.task.metric)
    kept = {other: own} if _is_alike(spec, source.spec) else {}
    fixed = _fixed(space)
    moved = []
    for trial in strategy_trials(uow, source, uow.trials.of(source.id)):
        architecture = replace(trial.architecture, **fixed)
        if architecture in space:
            metrics, variances, full = (
                _renamed(values, other, kept) for values in (trial.metrics, trial.variances, trial.full)
            )
            moved.append(replace(trial, architecture=architecture, metrics=metrics, variances=variances, full=full))
    return tuple(moved)


def _renamed(values: Mapping[str, float], trained: str, kept: Mapping[str, str]) -> dict[str, float]:
    others = {name: value for name, value in values.items() if name != trained}
    return others | {kept[name]: value for name, value in values.items() if name in kept}


def _fixed(space: SearchSpace) -> dict[str, Any]:
    """What all architectures of the space have alike."""
    any_of_it = space.architecture(0)
    return {name: getattr(any_of_it, name) for name in BROUGHT if name not in space.dimensions}
