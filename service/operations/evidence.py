"""Stored trials as a strategy sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from distillation.values import Fidelity
from optimization.strategy import Standing, StrategyTrial
from protocol.views import TrialState
from service.operations.metrics import pooled_variances
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


def strategy_trials(uow: UnitOfWork, study: Study, trials: Sequence[Trial]) -> tuple[StrategyTrial, ...]:
    """These trials of the study, in the same order, each with its evaluation at full fidelity, if there is one."""
    metric = str(study.spec.task.metric)
    full = {row.trial_id: row.selection.value for row in uow.trials.evaluations(study.id, fidelity=Fidelity.FULL)}
    variances = [dict(trial.variances) for trial in trials]
    if study.spec.external is None:  # else nobody knows what is called a latency there, or how it was measured
        variances = pooled_variances([(trial.metrics, trial.variances) for trial in trials])
    return tuple(
        _strategy_trial(trial, metric, noise, full.get(trial.id))
        for trial, noise in zip(trials, variances, strict=True)
    )


def _strategy_trial(trial: Trial, metric: str, variances: dict[str, float], full: float | None) -> StrategyTrial:
    early = trial.early_stop if trial.state is TrialState.STOPPED else None
    return StrategyTrial(
        architecture=trial.architecture,
        standing=Standing.STOPPED if early is not None else _standing(trial.state),
        metrics=trial.metrics if early is None else {**trial.metrics, metric: early.expected},
        variances=variances if early is None else {**variances, metric: early.variance},
        full={} if full is None else {metric: full},
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
