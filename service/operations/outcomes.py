"""What follows from the outcome of a job: one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from distillation.values import Fidelity
from hardware.values import Measurement, Runtime
from optimization.front import infer_reference
from optimization.values import Constraint, Objective
from protocol.events import EventKind, Topic
from protocol.jobs import (
    AttemptEnd,
    Calibrated,
    CalibrateWork,
    Distilled,
    Evaluated,
    FailureReason,
    Finalized,
    FinalizeWork,
    JobKind,
    Measured,
    MeasureWork,
    Outcome,
    Prepared,
)
from protocol.views import FinalistState, StudyState, TrialState
from search_space import Architecture, SearchSpaceError, parameter_columns, parameter_count
from service.errors import InvalidError
from service.operations.calibrations import sample_of, store_calibration, wants_calibration
from service.operations.constraints import broken, nobody_meets, too_many_parameters
from service.operations.failures import end_trial, fail_study
from service.operations.finalists import complete_if_ended
from service.operations.flatness import note_ends, note_first
from service.operations.metrics import known_early, score_variance
from service.operations.queue import prepared, queue_calibrate, queue_distill, queue_export_measurement, queue_sample
from service.operations.spaces import effective_space, is_largest, is_smallest, references
from service.operations.trials import begin_search
from service.store.reports import Distilling, Ended
from service.store.tables import Evaluation, Job, MeasurementRole, MeasurementRow, Study, Trial
from service.store.unit_of_work import UnitOfWork

FEWEST_FOR_REFERENCE = 3
"""Completed trials from which the hypervolume's reference point is inferred."""

QUANTISED = (
    "latencies are of models quantised to 8 bits, accuracies and exports of those in float32: what quantising costs"
    " in accuracy is not measured"
)
"""What a study is told whose target quantises."""


Followed = Prepared | Calibrated | Measured | Finalized | Evaluated
"""Outcomes of the rows that they change; the commonest one, `distilled`, reads and writes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How a study judges its trials: what no change of it changes."""

    metric: str
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]


def distilled(uow: UnitOfWork, job: Distilling, attempt: int, digest: str, outcome: Distilled) -> None:
    """Stores what a distillation found out; its attempt, its job and its trial have ended. Study and job must be
    locked. `digest` is that of the attempt's report.

    Raises:
        InvalidError: the outcome does not answer this job.
    """
    if job.kind is not JobKind.DISTILL or job.metrics is None or job.variances is None:
        raise InvalidError(f"job {job.id} is of kind {job.kind}, the outcome of kind {outcome.kind}")
    judging = _judging(uow, job)
    metrics = {**job.metrics, judging.metric: outcome.selection.value}
    variances = {**job.variances, judging.metric: score_variance(outcome.selection)}
    reason = broken(judging.constraints, metrics)
    state = TrialState.INFEASIBLE if reason else TrialState.COMPLETED
    uow.reports.end(job, attempt, digest, uow.now)
    uow.attempts.end(job, AttemptEnd.INFEASIBLE if reason else AttemptEnd.DONE, uow.now)
    ended = Ended(state=state, metrics=metrics, variances=variances, reason=reason)
    uow.reports.distilled(job, outcome, ended, uow.now)
    uow.events.ended(job.study_id, job.trial)
    if job.reference is None and (reference := _inferred(uow, job.study_id, judging.objectives)) is not None:
        uow.reports.refer(job.study_id, reference)
        uow.events.note(Topic.STUDY, EventKind.CHANGED, job.study_id)


def follow(uow: UnitOfWork, study: Study, job: Job, outcome: Followed) -> bool:
    """Stores the outcome and does what comes next; whether the trial is infeasible by it. Study and job must be locked.

    Raises:
        InvalidError: the outcome does not answer this job.
    """
    if outcome.kind is not job.kind:
        raise InvalidError(f"job {job.id} is of kind {job.kind}, the outcome of kind {outcome.kind}")
    match outcome:
        case Prepared():
            _prepared(uow, study, outcome)
        case Calibrated():
            _calibrated(uow, study, job, outcome)
        case Measured():
            _measured(uow, study, job, _trial(uow, job), outcome)
        case Finalized():
            _finalized(uow, study, job, _trial(uow, job), outcome)
        case Evaluated():
            _evaluated(uow, study, _trial(uow, job), outcome)
        case unreachable:
            assert_never(unreachable)
    return job.trial_id is not None and uow.trials.get(job.trial_id).state is TrialState.INFEASIBLE


def artefacts_of(outcome: Outcome) -> list[str]:
    """The artefacts that the outcome names."""
    match outcome:
        case Prepared():
            return [outcome.data, outcome.teacher]
        case Distilled():
            return [outcome.weights]
        case Finalized():
            return [outcome.export]
        case Calibrated() | Measured() | Evaluated():
            return []
        case unreachable:
            assert_never(unreachable)


def _prepared(uow: UnitOfWork, study: Study, outcome: Prepared) -> None:
    study.prepared = outcome
    study.notes = (*study.notes, *outcome.notes)
    if study.spec.target.runtime is Runtime.ONNX_INT8:
        study.notes = (*study.notes, QUANTISED)
    try:
        space = effective_space(study.spec, outcome)
    except SearchSpaceError as error:
        fail_study(uow, study, f"search_space: {error}", FailureReason.INVALID)
        return
    impossible = too_many_parameters(study.spec.constraints, int(parameter_columns(space.columns).max()))
    if impossible:
        fail_study(uow, study, impossible, FailureReason.INVALID)
        return
    queue_calibrate(uow, study, references(study.spec.budget, space, outcome.architecture))
    study.state = StudyState.CALIBRATING


def _calibrated(uow: UnitOfWork, study: Study, job: Job, outcome: Calibrated) -> None:
    if isinstance(job.work, CalibrateWork) and job.work.sample:
        _sampled(uow, study, job.work, outcome)
        return
    facts = prepared(study)
    space = effective_space(study.spec, facts)
    expected = references(study.spec.budget, space, facts.architecture)
    told = [*outcome.measurements, *outcome.missing]
    if sorted(told) != sorted(expected):
        raise InvalidError(f"a calibration measures {', '.join(expected)}; got {', '.join(told)}")
    for name, measurement in outcome.measurements.items():
        _store_measurement(uow, study, None, MeasurementRole.REFERENCE, measurement, name)
    shapes = {name: reference.architecture for name, reference in expected.items()}
    # What parameters alone call smallest or largest may be no end of the latencies.
    ends = [
        name for name, is_end in (("smallest", is_smallest), ("largest", is_largest)) if is_end(space, shapes[name])
    ]
    if "smallest" in ends and "smallest" in outcome.missing:
        fail_study(uow, study, _nothing_fits(study, shapes["smallest"], outcome), FailureReason.OUT_OF_MEMORY)
        return
    study.notes = (*study.notes, *_left_out(study, shapes, outcome))
    measured = {name: (shapes[name], outcome.measurements[name]) for name in ends if name in outcome.measurements}
    impossible = nobody_meets(study.spec.constraints, measured)
    if impossible:
        fail_study(uow, study, impossible, FailureReason.INVALID)
        return
    if len(measured) == 2 and space.size > 1:
        note_ends(study, measured["smallest"][1], measured["largest"][1])
    if wants_calibration(uow, study, space):
        queue_sample(uow, study, *sample_of(study.spec, space))
        return
    begin_search(uow, study)


def _nothing_fits(study: Study, smallest: Architecture, outcome: Calibrated) -> str:
    """Led by the key of the study that mends it."""
    return (
        f"search_space: not even its smallest architecture ({smallest.label}) fits into the memory of"
        f" {study.spec.target.label}: {outcome.missing['smallest']}; allow smaller ones, or a smaller batch or length"
    )


def _left_out(study: Study, shapes: Mapping[str, Architecture], outcome: Calibrated) -> list[str]:
    """What the references that do not fit say: the study goes on without them."""
    who = {name: f"the {name} architecture of the search space" for name in shapes} | {"teacher": "the teacher"}
    return [
        f"{who[name]} ({shapes[name].label}) does not fit into the memory of {study.spec.target.label} and is not"
        f" measured: {why}"
        for name, why in outcome.missing.items()
    ]


def _sampled(uow: UnitOfWork, study: Study, work: CalibrateWork, outcome: Calibrated) -> None:
    record = outcome.calibration
    if record is None:
        raise InvalidError("a sample was to be measured; the outcome has no calibration")
    unasked = [row.architecture.label for row in record.rows if row.architecture not in work.sample]
    if record.profile != work.profile or unasked:
        raise InvalidError(f"the calibration is of {record.profile.label}{', of ' if unasked else ''}{unasked[:1]}")
    store_calibration(uow, record)
    uow.flush()
    if record.flat:
        study.notes = (*study.notes, record.flat)
    begin_search(uow, study)


def _measured(uow: UnitOfWork, study: Study, job: Job, trial: Trial, outcome: Measured) -> None:
    if isinstance(job.work, MeasureWork) and job.work.checkpoint is not None:
        _finalist_completed(uow, study, trial, outcome.measurement, job.work.checkpoint)
        return
    _store_measurement(uow, study, trial, MeasurementRole.TRIAL, outcome.measurement)
    trial.metrics, trial.variances = known_early(trial.architecture, outcome.measurement)
    note_first(uow, study, trial)
    reason = broken(study.spec.constraints, trial.metrics)
    if reason:
        end_trial(uow, trial, TrialState.INFEASIBLE, reason)
        return
    trial.state = TrialState.DISTILLING
    queue_distill(uow, study, trial)


def _judging(uow: UnitOfWork, job: Distilling) -> Judging:
    """Of the job's study. Its digest tells of all that it was begun with; only its budget may be extended."""

    def read() -> Judging:
        spec = uow.studies.get(job.study_id).spec
        return Judging(metric=str(spec.task.metric), objectives=spec.objectives, constraints=spec.constraints)

    return uow.remembered(("judging", job.study_id, job.digest), read)


def _inferred(uow: UnitOfWork, study: int, objectives: Sequence[Objective]) -> dict[str, float] | None:
    """The hypervolume's reference point, as soon as enough is known."""
    rows = uow.trials.metrics(study, TrialState.COMPLETED)
    return infer_reference(objectives, rows) if len(rows) >= FEWEST_FOR_REFERENCE else None


def _evaluated(uow: UnitOfWork, study: Study, trial: Trial, outcome: Evaluated) -> None:
    """Of an external study: what somebody else found out."""
    count = parameter_count(trial.architecture)
    if outcome.metrics.get("parameters", count) != count:
        raise InvalidError(
            f"metrics: parameters follows from the architecture, which has {count}; what you tell needs another name"
        )
    trial.metrics = {**outcome.metrics, "parameters": float(count)}
    trial.variances = {**dict.fromkeys(trial.metrics, 0.0), **outcome.variances}
    if outcome.infeasible is not None:
        end_trial(uow, trial, TrialState.INFEASIBLE, outcome.infeasible)
        return
    missing = [name for name in study.spec.judged_metrics if name not in trial.metrics]
    if missing:
        raise InvalidError(f"metrics: {missing[0]} is missing, by which the study judges: {' '.join(missing)}")
    reason = broken(study.spec.constraints, trial.metrics)
    end_trial(uow, trial, TrialState.INFEASIBLE if reason else TrialState.COMPLETED, reason)
    if study.reference is None and (reference := _inferred(uow, study.id, study.spec.objectives)) is not None:
        study.reference = reference


def _finalized(uow: UnitOfWork, study: Study, job: Job, trial: Trial, outcome: Finalized) -> None:
    if not isinstance(job.work, FinalizeWork):
        raise InvalidError(f"job {job.id} does not finalize")
    uow.trials.add_evaluation(
        Evaluation(
            trial_id=trial.id,
            fidelity=Fidelity.FULL,
            selection=outcome.selection,
            report=outcome.report,
            curve=outcome.curve,
            steps=outcome.steps,
            seconds=outcome.seconds,
            weights=None,
            created_at=uow.now,
        )
    )
    if outcome.measurement is None:
        queue_export_measurement(uow, study, trial, job.work, outcome.export)
        return
    _finalist_completed(uow, study, trial, outcome.measurement, outcome.export)


def _finalist_completed(uow: UnitOfWork, study: Study, trial: Trial, measurement: Measurement, export: str) -> None:
    _store_measurement(uow, study, trial, MeasurementRole.EXPORT, measurement)
    finalist = uow.trials.finalist(trial.id)
    finalist.state, finalist.export = FinalistState.COMPLETED, export
    uow.flush()
    complete_if_ended(uow, study)


def _trial(uow: UnitOfWork, job: Job) -> Trial:
    if job.trial_id is None:
        raise InvalidError(f"job {job.id} is of no trial")
    return uow.trials.get(job.trial_id)


def _store_measurement(
    uow: UnitOfWork,
    study: Study,
    trial: Trial | None,
    role: MeasurementRole,
    measurement: Measurement,
    name: str | None = None,
) -> None:
    uow.studies.add_measurement(
        MeasurementRow(
            study_id=study.id,
            trial_id=None if trial is None else trial.id,
            role=role,
            name=name,
            measurement=replace(measurement, samples_s=[]),
            samples=measurement.kept if measurement.calls is None else measurement.calls,
            samples_s=measurement.samples_s,
            created_at=uow.now,
        )
    )
