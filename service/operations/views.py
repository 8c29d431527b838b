"""Studies and trials as the API and the dashboard show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from distillation.values import Fidelity
from protocol.jobs import JobState
from protocol.views import (
    DriftView,
    EvaluationView,
    FinalistView,
    FrontView,
    LatencyView,
    RunningJob,
    StudyState,
    StudyView,
    TrialState,
    TrialView,
    WorkerJob,
    WorkerView,
)
from service.operations.cost import Cost, cost_of
from service.operations.front import present_front, view_front
from service.operations.machines import ALIVE_S, alive_workers, machine_notes
from service.operations.paging import Page, decode, decode_instant, page
from service.operations.readings import drift_note, drifts_of
from service.operations.remaining import remaining_s
from service.operations.studies import get_study, get_trial
from service.store.tables import Evaluation, Finalist, Job, MeasurementRole, MeasurementRow, Study, Trial, Worker
from service.store.unit_of_work import UnitOfWork


def study_page(
    uow: UnitOfWork, limit: int, cursor: str | None = None, name: str = "", states: Sequence[StudyState] = ()
) -> Page[StudyView]:
    """Some studies, the newest first: those with this text in their name and in one of these states, where such are
    given.

    Raises:
        InvalidError: a cursor of another list.
    """
    after = decode_instant(cursor, int)
    place = None if after is None else (after[0], int(after[1] or 0))
    found = uow.studies.page(place, limit + 1, name, states)
    rows = page(found, limit, lambda study: (study.created_at.isoformat(), study.id))
    return Page(tuple(_study_view(uow, study) for study in rows.items), rows.cursor)


def study_view(uow: UnitOfWork, name: str) -> StudyView:
    """Raises: NotFoundError."""
    return _study_view(uow, get_study(uow, name))


def trial_views(uow: UnitOfWork, name: str, exports: Path) -> tuple[TrialView, ...]:
    """The study's trials by number. `exports` is the folder in which finalists may lie.

    Raises:
        NotFoundError: there is no such study.
    """
    study = get_study(uow, name)
    return views_of(uow, study, uow.trials.of(study.id), exports)


def trial_view(uow: UnitOfWork, name: str, number: int, exports: Path) -> TrialView:
    """Raises: NotFoundError."""
    study, trial = get_trial(uow, name, number)
    return views_of(uow, study, [trial], exports)[0]


def views_of(uow: UnitOfWork, study: Study, trials: Sequence[Trial], exports: Path) -> tuple[TrialView, ...]:
    """These trials of the study, in their order."""
    best = present_front(uow, study).numbers
    known = _Known(uow, study, {trial.id for trial in trials})
    return tuple(_trial_view(study, trial, known, exports / study.name, trial.number in best) for trial in trials)


def front_view(uow: UnitOfWork, name: str) -> FrontView:
    """Raises: NotFoundError."""
    return view_front(uow, get_study(uow, name))


def worker_page(uow: UnitOfWork, limit: int, cursor: str | None) -> Page[WorkerView]:
    """Some workers, by name. Raises: InvalidError: a cursor of another list."""
    after = decode(cursor, str)
    place = None if after is None else str(after[0])
    rows = page(uow.workers.page(place, limit + 1), limit, lambda worker: (worker.name,))
    names = [worker.name for worker in rows.items]
    drifts, jobs = drifts_of(uow, names), _jobs_of(uow, names)
    views = (_worker_view(uow, worker, drifts[worker.name], jobs[worker.name]) for worker in rows.items)
    return Page(tuple(views), rows.cursor)


def _jobs_of(uow: UnitOfWork, workers: Collection[str]) -> dict[str, list[WorkerJob]]:
    """By worker, what it is busy with."""
    leased = uow.jobs.leased_by(workers)
    names = uow.studies.names_of({job.study_id for job in leased})
    numbers = uow.trials.numbers({job.trial_id for job in leased if job.trial_id is not None})
    found: dict[str, list[WorkerJob]] = {worker: [] for worker in workers}
    for job in leased:
        if job.worker is not None and job.study_id in names:  # a study may have been deleted between two looks
            number = None if job.trial_id is None else numbers.get(job.trial_id)
            found[job.worker].append(_worker_job(job, names[job.study_id], number))
    return found


def _worker_view(uow: UnitOfWork, worker: Worker, drifts: Sequence[DriftView], jobs: Sequence[WorkerJob]) -> WorkerView:
    return WorkerView(
        name=worker.name,
        kinds=worker.kinds,
        targets=worker.targets,
        seen_at=worker.seen_at,
        drifts=tuple(drifts),
        notes=tuple(drift_note(drift) for drift in drifts if drift.beyond),
        alive=worker.seen_at >= uow.now - timedelta(seconds=ALIVE_S),
        jobs=tuple(jobs),
    )


def _worker_job(job: Job, study: str, trial: int | None) -> WorkerJob:
    return WorkerJob(
        study=study,
        trial=trial,
        kind=job.kind,
        attempt=job.attempt,
        since=job.leased_at,
        progress=job.progress,
    )


def _study_view(uow: UnitOfWork, study: Study) -> StudyView:
    front = present_front(uow, study)
    counts = uow.trials.counts(study.id)
    jobs = uow.jobs.open(study.id)
    numbers = uow.trials.numbers({job.trial_id for job in jobs if job.trial_id is not None})
    alive = alive_workers(uow)
    cost = cost_of(uow, study)
    return StudyView(
        name=study.name,
        state=study.state,
        spec=study.spec,
        digest=study.spec.digest,
        created_at=study.created_at,
        ended_at=study.ended_at,
        prepared=study.prepared,
        references={row.name: _latency_view(row) for row in uow.studies.references(study.id) if row.name},
        trials={str(state): count for state, count in counts.items()},
        finalists={str(state): count for state, count in uow.trials.finalist_counts(study.id).items()},
        jobs=tuple(_running_job(job, numbers) for job in jobs),
        hypervolume=front.hypervolume,
        front_size=len(front.numbers),
        remaining_s=_remaining_s(uow, study, counts, jobs, cost, len(alive)),
        notes=study.notes,
        error=study.error,
        failure=study.failure,
        hardware_key=study.hardware_key,
        machines=() if study.ended_at is not None else tuple(machine_notes(study, jobs, alive)),
        suggesting_s=study.suggesting_s,
        saved_steps=uow.trials.saved_steps(study.id),
        device_seconds=cost.by_kind,
        device_seconds_by_worker=cost.by_worker,
        stopped_from=study.stopped_from,
    )


def _remaining_s(
    uow: UnitOfWork, study: Study, trials: Mapping[TrialState, int], jobs: Sequence[Job], cost: Cost, workers: int
) -> float | None:
    """None of a stopped study: nobody knows how long it waits."""
    if study.state is StudyState.STOPPED:
        return None
    return remaining_s(study, trials, jobs, cost, workers, uow.now)


def _running_job(job: Job, numbers: dict[int, int]) -> RunningJob:
    return RunningJob(
        id=job.id,
        kind=job.kind,
        state=job.state,
        trial=None if job.trial_id is None else numbers.get(job.trial_id),
        attempt=job.attempt,
        worker=job.worker,
        progress=job.progress,
    )


class _Known:
    """What is stored about some trials of a study, by trial."""

    def __init__(self, uow: UnitOfWork, study: Study, trials: Collection[int]) -> None:
        self.evaluations: dict[int, dict[Fidelity, Evaluation]] = defaultdict(dict)
        for evaluation in uow.trials.evaluations(study.id, trials):
            self.evaluations[evaluation.trial_id][evaluation.fidelity] = evaluation
        self.measurements: dict[int, dict[MeasurementRole, MeasurementRow]] = defaultdict(dict)
        for row in uow.trials.measurements(study.id, trials):
            if row.trial_id is not None:
                self.measurements[row.trial_id][row.role] = row
        self.finalists: dict[int, Finalist] = {row.trial_id: row for row in uow.trials.finalists(study.id, trials)}
        self.jobs = _leased(uow.jobs.open(study.id))


def _leased(jobs: Sequence[Job]) -> dict[int, Job]:
    return {job.trial_id: job for job in jobs if job.trial_id is not None and job.state is JobState.LEASED}


def _trial_view(study: Study, trial: Trial, known: _Known, exports: Path, on_front: bool) -> TrialView:
    job = known.jobs.get(trial.id)
    finalist = known.finalists.get(trial.id)
    return TrialView(
        study=study.name,
        number=trial.number,
        state=trial.state,
        architecture=trial.architecture,
        label=trial.architecture.label,
        origin=trial.origin,
        metrics=trial.metrics,
        evaluation=_evaluation_view(known.evaluations[trial.id].get(Fidelity.FLASH)),
        latency=_latency_or_none(known.measurements[trial.id].get(MeasurementRole.TRIAL)),
        finalist=None if finalist is None else _finalist_view(finalist, known, exports / f"trial-{trial.number}"),
        progress=None if job is None else job.progress,
        reason=trial.reason,
        on_front=on_front,
        created_at=trial.created_at,
        ended_at=trial.ended_at,
        predicted=trial.predicted_latency,
        suggestion=trial.suggestion,
        early_stop=trial.early_stop,
    )


def _finalist_view(finalist: Finalist, known: _Known, folder: Path) -> FinalistView:
    return FinalistView(
        state=finalist.state,
        evaluation=_evaluation_view(known.evaluations[finalist.trial_id].get(Fidelity.FULL)),
        latency=_latency_or_none(known.measurements[finalist.trial_id].get(MeasurementRole.EXPORT)),
        export=finalist.export,
        error=finalist.error,
        failure=finalist.failure,
        folder=str(folder) if folder.is_dir() else None,
    )


def _evaluation_view(row: Evaluation | None) -> EvaluationView | None:
    return None if row is None else EvaluationView.model_validate(row)


def _latency_or_none(row: MeasurementRow | None) -> LatencyView | None:
    return None if row is None else _latency_view(row)


def _latency_view(row: MeasurementRow) -> LatencyView:
    measurement = row.measurement
    return LatencyView(
        p50_s=measurement.p50.value_s,
        p90_s=measurement.p90.value_s,
        p99_s=measurement.p99.value_s,
        low_s=measurement.p50.low_s,
        high_s=measurement.p50.high_s,
        source=measurement.source,
        verdict=measurement.verdict,
        effort=measurement.effort,
        samples=row.samples,
        measured_at=measurement.measured_at,
        hardware_key=measurement.hardware_key,
        environment=measurement.environment,
        notes=measurement.notes,
    )
