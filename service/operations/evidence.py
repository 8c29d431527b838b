"""Stored trials as a strategy sees them: latencies at one pace of the machine, their noise pooled over all trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from distillation.values import Fidelity
from hardware.pace import Reading, reading
from optimization.strategy import Standing, StrategyTrial
from protocol.views import TrialState
from service.operations.constraints import broken
from service.operations.metrics import at_one_pace, pooled_variances
from service.store.tables import MeasurementRole, Study, Trial
from service.store.unit_of_work import UnitOfWork


def strategy_trials(uow: UnitOfWork, study: Study, trials: Sequence[Trial]) -> tuple[StrategyTrial, ...]:
    """These trials of the study, in the same order, each with its evaluation at full fidelity, if there is one."""
    metric = str(study.spec.task.metric)
    metrics = [trial.metrics for trial in trials]
    broke = [
        trial.state is TrialState.INFEASIBLE and bool(broken(study.spec.constraints, trial.metrics)) for trial in trials
    ]
    full = {row.trial_id: row.selection.value for row in uow.trials.evaluations(study.id, fidelity=Fidelity.FULL)}
    variances = [dict(trial.variances) for trial in trials]
    if study.spec.external is None:  # else nobody knows what is called a latency there, or how it was measured
        metrics, variances = at_one_pace(metrics, variances, _readings(uow, study, trials))
        variances = pooled_variances(list(zip(metrics, variances, strict=True)))
    return tuple(
        _strategy_trial(trial, metric, values, noise, full.get(trial.id), broke_bound)
        for trial, values, noise, broke_bound in zip(trials, metrics, variances, broke, strict=True)
    )


def _readings(uow: UnitOfWork, study: Study, trials: Sequence[Trial]) -> list[Reading | None]:
    """Of each trial, what the reference architecture took beside its measurement."""
    rows = [row for row in uow.trials.measurements(study.id) if row.role is MeasurementRole.TRIAL]
    found = {row.trial_id: reading(row.measurement) for row in rows}
    return [found.get(trial.id) for trial in trials]


def _strategy_trial(
    trial: Trial,
    metric: str,
    metrics: dict[str, float],
    variances: dict[str, float],
    full: float | None,
    broke_bound: bool,
) -> StrategyTrial:
    early = trial.early_stop if trial.state is TrialState.STOPPED else None
    return StrategyTrial(
        architecture=trial.architecture,
        standing=Standing.STOPPED if early is not None else _standing(trial.state),
        metrics=metrics if early is None else {**metrics, metric: early.expected},
        variances=variances if early is None else {**variances, metric: early.variance},
        full={} if full is None else {metric: full},
        broke_bound=broke_bound,
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
