"""What the suggester reads and computes to decide on an early stop; the web process has no need of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distillation.values import Fidelity
from optimization.curves import Curve
from optimization.early_stopping import Decision, KnownTrial, Learnt, decide
from optimization.errors import OptimizationError
from protocol.early_stop import EarlyStop
from protocol.jobs import CurvePoint
from protocol.metrics import metric_info
from protocol.quantity import format_count
from protocol.study import StudySpec
from protocol.views import TrialState
from service.operations.constraints import described, written
from service.operations.early_stopping import Watched
from service.store.tables import Evaluation, Study, Trial
from service.store.unit_of_work import UnitOfWork

ENDED = (TrialState.COMPLETED, TrialState.INFEASIBLE)
"""Trials that may have a whole curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the study's ended trials tell. `rivals` are the completed ones, `completed` what is known of each."""

    spec: StudySpec
    rivals: tuple[Trial, ...]
    completed: tuple[KnownTrial, ...]
    ended: tuple[KnownTrial, ...]


def evidence(uow: UnitOfWork, study: Study) -> Evidence:
    evaluations = {row.trial_id: row for row in uow.trials.evaluations(study.id) if row.fidelity is Fidelity.FLASH}
    trials = [one for one in uow.trials.of(study.id, *ENDED) if one.id in evaluations]
    rivals = tuple(one for one in trials if one.state is TrialState.COMPLETED)
    known = {one.id: _ended(study.spec, one, evaluations[one.id]) for one in trials}
    return Evidence(
        spec=study.spec,
        rivals=rivals,
        completed=tuple(known[one.id] for one in rivals),
        ended=tuple(known.values()),
    )


def judge(uow: UnitOfWork, told: Evidence, watched: Watched) -> EarlyStop | None:
    """The decision to stop this distillation, if it is that.

    Raises:
        ValueError, ArithmeticError: values that nothing can be computed from.
    """
    spec, trial = told.spec, uow.trials.get(watched.trial)
    curve = _curve(watched.curve, watched.steps, final=None)
    running = KnownTrial(metrics=trial.metrics, variances=trial.variances, curve=curve)
    decision = decide(spec.objectives, spec.constraints, _learnt(spec), told.completed, told.ended, running)
    if decision is None or not decision.stops:
        return None
    point = watched.curve[-1]
    rival = None if decision.dominated_by is None else told.rivals[decision.dominated_by]
    return EarlyStop(
        step=point.step,
        steps=watched.steps,
        current=point.value,
        expected=decision.expected,
        variance=decision.variance,
        optimistic=decision.optimistic,
        curves=decision.curves,
        dominated_by=None if rival is None else rival.number,
        reason=_reason(spec, decision, point, watched.steps, rival),
        decided_at=uow.now,
    )


def _learnt(spec: StudySpec) -> Learnt:
    metric = str(spec.task.metric)
    direction = next(one.direction for one in spec.objectives if one.metric == metric)
    return Learnt(metric=metric, direction=direction, relative=metric_info(metric).unit != "share")


def _ended(spec: StudySpec, trial: Trial, evaluation: Evaluation) -> KnownTrial:
    final = trial.metrics.get(str(spec.task.metric))
    return KnownTrial(
        metrics=trial.metrics,
        variances=trial.variances,
        curve=_curve(evaluation.curve, evaluation.steps, final=final),
    )


def _curve(points: Sequence[CurvePoint], steps: int, *, final: float | None) -> Curve | None:
    """None where it cannot be one: what an ended distillation reports is not checked."""
    try:
        return Curve(
            shares=tuple(point.step / steps for point in points),
            values=tuple(point.value for point in points),
            final=final,
        )
    except OptimizationError:
        return None


def _reason(spec: StudySpec, decision: Decision, point: CurvePoint, steps: int, rival: Trial | None) -> str:
    metric = str(spec.task.metric)
    seen = (
        f"{written(metric, point.value)} after {format_count(point.step)} of {format_count(steps)} steps, "
        f"{decision.optimistic:.4g} at best in the end"
    )
    if rival is not None:
        others = " and ".join(one.metric for one in spec.objectives if one.metric != metric)
        return f"{seen}: trial {rival.number} has {rival.metrics[metric]:.4g}, and no worse {others}"
    broken = "" if decision.broken is None else described(decision.broken)
    return f"{seen}: that breaks {broken}"
