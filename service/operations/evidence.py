"""Stored trials as a strategy sees them: latencies at one pace of the machine, their noise pooled over all trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from distillation.values import Fidelity
from hardware.pace import Reading, reading
from optimization.strategy import Standing, StrategyTrial
from protocol.study import StudySpec
from protocol.views import TrialState
from service.operations.constraints import broken
from service.operations.metrics import at_one_pace, pooled_variances
from service.store.tables import MeasurementRole, Study, Trial
from service.store.unit_of_work import UnitOfWork


def strategy_trials(uow: UnitOfWork, study: Study, trials: Sequence[Trial]) -> tuple[StrategyTrial, ...]:
    """These trials of the study, in the same order, each with its evaluation at full fidelity, if there is one."""
    metrics = [trial.metrics for trial in trials]
    full = {row.trial_id: row.selection.value for row in uow.trials.evaluations(study.id, fidelity=Fidelity.FULL)}
    variances = [dict(trial.variances) for trial in trials]
    if study.spec.external is None:  # else nobody knows what is called a latency there, or how it was measured
        metrics, variances = at_one_pace(metrics, variances, _readings(uow, study, trials))
        variances = pooled_variances(list(zip(metrics, variances, strict=True)))
    return tuple(
        _strategy_trial(study.spec, trial, values, noise, full.get(trial.id))
        for trial, values, noise in zip(trials, metrics, variances, strict=True)
    )


def _readings(uow: UnitOfWork, study: Study, trials: Sequence[Trial]) -> list[Reading | None]:
    """Of each trial, what the reference architecture took beside its measurement."""
    rows = [row for row in uow.trials.measurements(study.id) if row.role is MeasurementRole.TRIAL]
    found = {row.trial_id: reading(row.measurement) for row in rows}
    return [found.get(trial.id) for trial in trials]


def _strategy_trial(
    spec: StudySpec, trial: Trial, metrics: dict[str, float], variances: dict[str, float], full: float | None
) -> StrategyTrial:
    metric = str(spec.task.metric)
    early = trial.early_stop if trial.state is TrialState.STOPPED else None
    return StrategyTrial(
        architecture=trial.architecture,
        standing=Standing.STOPPED if early is not None else _standing(trial.state),
        metrics=metrics if early is None else {**metrics, metric: early.expected},
        variances=variances if early is None else {**variances, metric: early.variance},
        full={} if full is None else {metric: full},
        # By what was measured: at one pace it may look as if it met the bound.
        broke_bound=trial.state is TrialState.INFEASIBLE and broken(spec.constraints, trial.metrics) is not None,
    )


def _standing(state: TrialState) -> Standing:
    match state:
        case TrialState.PENDING | TrialState.MEASURING | TrialState.DISTILLING:
            return Standing.PENDING
        case TrialState.COMPLETED:
            return Standing.COMPLETED
        case TrialState.INFEASIBLE:
            return Standing.INFEASIBLE
        case TrialState.FAILED | TrialState.STOPPED:
            return Standing.FAILED
        case unreachable:
            assert_never(unreachable)
