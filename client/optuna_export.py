"""A study as a study of Optuna, for its plots, its importances and its samplers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from client.errors import installed
from client.tables import objective_values
from protocol.study import StudySpec
from protocol.views import TrialState, TrialView
from search_space import Category, Choice, Dimension, IntegerRange

if TYPE_CHECKING:
    import optuna

CONSTRAINTS = "constraints"
"""Where Optuna's own samplers and plots look for how far a trial is out of bounds: at most 0 is within."""


def to_optuna(spec: StudySpec, trials: Iterable[TrialView], storage: Any = None) -> optuna.Study:
    """Trials that ended: completed ones with their values, infeasible and stopped ones as pruned, failed ones as such.

    A parameter is left out where the architecture lies outside its dimension, as a baseline's may. What Optuna has no
    place for is a user attribute: number, label, architecture, origin, whether it is on the front, every metric, and
    the latency's source and verdict.

    Raises:
        MissingPackage: optuna is not installed.
    """
    module = installed("optuna", extra="optuna")
    made: optuna.Study = module.create_study(
        study_name=spec.name,
        storage=storage,
        directions=[str(objective.direction) for objective in spec.objectives],
    )
    with warnings.catch_warnings():
        # Without names nobody can tell the values apart; that the way to give them may change, this room will notice.
        warnings.simplefilter("ignore", module.exceptions.ExperimentalWarning)
        made.set_metric_names([objective.metric for objective in spec.objectives])
    dimensions = spec.unconstrained().dimensions
    distributions = {name: _distribution(module, dimension) for name, dimension in dimensions.items()}
    for trial in trials:
        if trial.state.ended:
            made.add_trial(_frozen(module, spec, trial, dimensions, distributions))
    return made


def _distribution(module: Any, dimension: Dimension) -> optuna.distributions.BaseDistribution:
    made: optuna.distributions.BaseDistribution
    match dimension:
        case IntegerRange():
            made = module.distributions.IntDistribution(dimension.low, dimension.values[-1], step=dimension.step)
        case Choice() | Category():
            made = module.distributions.CategoricalDistribution(list(map(_plain, dimension.values)))
    return made


def _frozen(
    module: Any,
    spec: StudySpec,
    trial: TrialView,
    dimensions: Mapping[str, Dimension],
    distributions: dict[str, optuna.distributions.BaseDistribution],
) -> optuna.trial.FrozenTrial:
    fields = {name: getattr(trial.architecture, name) for name in dimensions}
    inside = {name: _plain(value) for name, value in fields.items() if value in dimensions[name].values}
    values = objective_values(spec, trial)
    state = _state(module, trial.state, has_values=values is not None)
    excess = _excess(spec, trial)
    frozen: optuna.trial.FrozenTrial = module.trial.create_trial(
        state=state,
        values=values if state is module.trial.TrialState.COMPLETE else None,
        params=inside,
        distributions={name: distributions[name] for name in inside},
        user_attrs=_attributes(trial),
        system_attrs={} if excess is None else {CONSTRAINTS: excess},
        intermediate_values={} if trial.evaluation is None else {p.step: p.value for p in trial.evaluation.curve},
    )
    # Optuna's times are naive and local.
    frozen.datetime_start = trial.created_at.astimezone().replace(tzinfo=None)
    frozen.datetime_complete = (trial.ended_at or trial.created_at).astimezone().replace(tzinfo=None)
    return frozen


def _state(module: Any, state: TrialState, *, has_values: bool) -> optuna.trial.TrialState:
    states = module.trial.TrialState
    if state is TrialState.COMPLETED and has_values:
        name = "COMPLETE"
    else:
        name = "FAIL" if state in (TrialState.FAILED, TrialState.COMPLETED) else "PRUNED"
    found: optuna.trial.TrialState = states[name]
    return found


def _excess(spec: StudySpec, trial: TrialView) -> list[float] | None:
    """By how much each constraint is exceeded; None while one cannot be told."""
    excess = []
    for one in spec.constraints:
        value = trial.metrics.get(one.metric)
        if value is None:
            return None
        excess.append(one.bound - value if one.at_least else value - one.bound)
    return excess or None


def _attributes(trial: TrialView) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": trial.number,
        "label": trial.label,
        "architecture": trial.architecture.to_dict(),
        "state": str(trial.state),
        "origin": trial.origin,
        "on_front": trial.on_front,
        "metrics": dict(trial.metrics),
    }
    if trial.latency is not None:
        told |= {"latency_source": trial.latency.source, "latency_verdict": trial.latency.verdict}
    return told | ({} if trial.reason is None else {"reason": trial.reason})


def _plain(value: object) -> Any:
    """An option as text: Optuna keeps choices as JSON."""
    return str(value) if isinstance(value, str) else value
