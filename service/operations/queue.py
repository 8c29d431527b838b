"""Jobs that are put in the queue: for each kind, its work."""

from __future__ import annotations

from distillation.values import Fidelity
from hardware.values import QuantileName
from protocol.jobs import (
    CalibrateWork,
    DistillWork,
    EvaluateWork,
    FinalizeWork,
    MeasureWork,
    Prepared,
    PrepareWork,
    Reference,
    Work,
)
from protocol.study import StudySpec
from protocol.targets import Need
from search_space import Architecture
from service.store.tables import Job, Study, Trial
from service.store.unit_of_work import UnitOfWork


def queue_prepare(uow: UnitOfWork, study: Study) -> None:
    spec = study.spec
    work = PrepareWork(task=spec.task, teacher=spec.teacher, recipe=spec.distillation, seed=spec.seed)
    _add(uow, study, None, work)


def queue_calibrate(uow: UnitOfWork, study: Study, references: dict[str, Reference]) -> None:
    spec = study.spec
    work = CalibrateWork(
        references=references,
        head=prepared(study).head,
        profile=spec.target,
        quantiles=_quantiles(spec),
        seed=spec.seed,
    )
    _add(uow, study, None, work)


def queue_sample(uow: UnitOfWork, study: Study, sample: tuple[Architecture, ...], space_key: str) -> None:
    """A calibration of the target by these architectures."""
    spec = study.spec
    work = CalibrateWork(
        references={},
        head=prepared(study).head,
        profile=spec.target,
        quantiles=_quantiles(spec),
        seed=spec.seed,
        sample=sample,
        effort=spec.budget.measuring,
        space_key=space_key,
    )
    _add(uow, study, None, work)


def queue_measure(uow: UnitOfWork, study: Study, trial: Trial) -> None:
    spec = study.spec
    work = MeasureWork(
        architecture=trial.architecture,
        head=prepared(study).head,
        profile=spec.target,
        quantiles=_quantiles(spec),
        effort=spec.budget.measuring,
        seed=spec.seed,
    )
    _add(uow, study, trial, work)


def queue_evaluate(uow: UnitOfWork, study: Study, trial: Trial) -> None:
    """Of an external study, for whoever asks for it."""
    _add(uow, study, trial, EvaluateWork(architecture=trial.architecture, metrics=study.spec.judged_metrics))


def queue_distill(uow: UnitOfWork, study: Study, trial: Trial) -> None:
    spec, facts = study.spec, prepared(study)
    work = DistillWork(
        architecture=trial.architecture,
        fidelity=Fidelity.FLASH,
        recipe=spec.distillation,
        steps=spec.flash_steps,
        data=facts.data,
        teacher=facts.teacher,
        seed=_seed(spec, trial),
    )
    _add(uow, study, trial, work)


def queue_finalize(uow: UnitOfWork, study: Study, trial: Trial) -> None:
    spec, facts = study.spec, prepared(study)
    work = FinalizeWork(
        name=f"{spec.name}-trial-{trial.number}",
        architecture=trial.architecture,
        recipe=spec.distillation,
        steps=spec.distillation.steps,
        data=facts.data,
        teacher=facts.teacher,
        profile=spec.target,
        quantiles=_quantiles(spec),
        effort=spec.budget.final_measuring,
        seed=_seed(spec, trial),
    )
    _add(uow, study, trial, work)


def queue_export_measurement(uow: UnitOfWork, study: Study, trial: Trial, work: FinalizeWork, export: str) -> None:
    """Of a finalist whose export is there and was not measured where it was made."""
    assert work.profile is not None
    measuring = MeasureWork(
        architecture=work.architecture,
        head=prepared(study).head,
        profile=work.profile,
        quantiles=work.quantiles,
        effort=work.effort,
        checkpoint=export,
        seed=work.seed,
    )
    _add(uow, study, trial, measuring)


def prepared(study: Study) -> Prepared:
    """What the study knows since its `prepare` job is done."""
    if study.prepared is None:
        raise RuntimeError(f"study {study.name} is {study.state} and has not been prepared")
    return study.prepared


def _quantiles(spec: StudySpec) -> tuple[QuantileName, ...]:
    return spec.judged_quantiles


def _seed(spec: StudySpec, trial: Trial) -> int:
    """Trials differ in their seeds, or one lucky order of the data would favour the same shapes in all of them."""
    return (spec.seed + trial.number) % 2**31


def _add(uow: UnitOfWork, study: Study, trial: Trial | None, work: Work) -> None:
    # A finalist is trained wherever that can be done; if that machine cannot measure it, another one does.
    profile = work.profile if isinstance(work, CalibrateWork | MeasureWork) else None
    uow.jobs.add(
        Job(
            study_id=study.id,
            trial_id=None if trial is None else trial.id,
            kind=work.kind,
            target=None if profile is None else str(Need.of(profile)),
            hardware_key=None if profile is None else study.hardware_key,
            work=work,
            created_at=uow.now,
        )
    )
