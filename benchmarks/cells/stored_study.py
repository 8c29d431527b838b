"""A study as the service would have left it, written into its store at once: what would take days is not waited for.

Nothing in it was measured or trained: latencies and accuracies are drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from distillation.values import Fidelity
from encoders.values import Head
from hardware.values import Effort, Measurement, Quantile, Source, Verdict
from protocol.jobs import AttemptEnd, CurvePoint, DistillWork, JobKind, JobState, MeasureWork, Prepared, Score
from protocol.study import StudySpec
from protocol.suggestion import Expected, SuggestionRecord
from protocol.views import StudyState, TrialState
from search_space import Architecture, parameter_count
from service.operations.spaces import effective_space
from service.operations.studies import create_study
from service.store.engine import open_engine
from service.store.tables import Attempt, Evaluation, Job, MeasurementRole, MeasurementRow, Trial
from service.store.unit_of_work import Store

ARTEFACT = "a" * 64
TEACHER = Architecture(vocabulary_size=8000, layers=6, hidden_size=384, heads=6, head_size=64, ffn_size=1536)
SPEC = {
    "teacher": "built-in",
    "task": {"dataset": "docstrings"},
    "search_space": {
        "layers": {"low": 1, "high": 6},
        "hidden_size": {"low": 16, "high": 384, "step": 8},
        "heads": [1, 2, 3, 4, 6],
        "head_size": [32, 64],
        "ffn_size": {"low": 32, "high": 1536, "step": 32},
    },
    "constraints": ["latency_p50 <= 50 ms"],
    "distillation": {"steps": 1000},
    "budget": {"trials": 100_000},
    "strategy": "random",
}
SAMPLES = (3, 34)
"""Processes and calls of each: what a measurement of a search takes at least."""
APART = timedelta(minutes=1)
"""Between the ends of two completed trials."""
AGE = timedelta(days=14)
"""Of the study: longer than all of its trials take."""


class StoredStudy:
    """One study in the store of a service that runs, past its preparation."""

    def __init__(self, database_url: str, name: str) -> None:
        self.name, self._began_at = name, _now() - AGE
        self._engine = open_engine(database_url)
        store = Store(database_url)
        with store.write() as uow:
            spec = StudySpec.model_validate({"name": name, **SPEC})
            create_study(uow, spec)
            uow.flush()
            study = uow.studies.find(name)
            assert study is not None
            uow.jobs.cancel(study.id, uow.now)
            uow.artefacts.add(ARTEFACT, 1, uow.now)
            study.prepared, study.state = _prepared(), StudyState.SEARCHING
            study.reference = {"accuracy": 0.0, "latency_p50": 0.05}
            self._id, self._spec = study.id, study.spec
        store.close()
        self._space = effective_space(self._spec, _prepared())
        self._rows = np.random.default_rng(0).permutation(self._space.size)
        self._trials = 0

    def close(self) -> None:
        self._engine.dispose()

    def supply(self, waiting: int) -> None:
        """Adds trials until so many wait to be distilled."""
        with Session(self._engine) as session:
            query = select(func.count()).where(Job.study_id == self._id, Job.state == JobState.QUEUED)
            lacking = waiting - int(session.scalar(query) or 0)
        if lacking > 0:
            self.add_waiting(lacking)

    def add_waiting(self, many: int) -> list[int]:
        """Trials that were measured and wait to be distilled; the numbers of their jobs."""
        with Session(self._engine) as session, session.begin():
            trials = self._insert_trials(session, many, TrialState.DISTILLING)
            session.execute(
                insert(Job),
                [
                    {**self._job(trial.id, JobKind.DISTILL), "work": self._distilling(trial.architecture)}
                    for trial in trials
                ],
            )
            jobs = select(Job.id).where(Job.trial_id.in_([trial.id for trial in trials])) if many < 1000 else None
            return [] if jobs is None else list(session.scalars(jobs))

    def add_completed(self, many: int) -> None:
        """Trials with everything that is kept of one: what was measured, its curve, its jobs and their attempts."""
        with Session(self._engine) as session, session.begin():
            trials = self._insert_trials(session, many, TrialState.COMPLETED)
            session.execute(insert(Evaluation), [_evaluation(trial) for trial in trials])
            session.execute(insert(MeasurementRow), [self._measurement(trial) for trial in trials])
            ended = {"state": JobState.DONE, "attempt": 1, "worker": "gpu-3", "ended_at": _now(), "leased_at": _now()}
            for kind, work in ((JobKind.MEASURE, self._measuring), (JobKind.DISTILL, self._distilling)):
                rows = [
                    {**self._job(trial.id, kind), **ended, "work": work(trial.architecture), "target": _target(kind)}
                    for trial in trials
                ]
                session.execute(insert(Job), rows)
            done = select(Job).where(Job.study_id == self._id, Job.trial_id.in_(select(Trial.id)))
            done = done.outerjoin(Attempt, Attempt.job_id == Job.id).where(Attempt.job_id.is_(None))
            session.execute(insert(Attempt), [_attempt(job) for job in session.scalars(done)])

    @property
    def size_bytes(self) -> int:
        """Of the whole database, as its files are."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                pages = connection.execute(text("PRAGMA page_count")).scalar_one()
                return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def _insert_trials(self, session: Session, many: int, state: TrialState) -> Sequence[Trial]:
        first = self._trials + 1
        rows = [self._trial(number, state) for number in range(first, first + many)]
        session.execute(insert(Trial), rows)
        self._trials += many
        query = select(Trial).where(Trial.study_id == self._id, Trial.number >= first).order_by(Trial.number)
        return session.scalars(query).all()

    def _trial(self, number: int, state: TrialState) -> dict[str, Any]:
        architecture = self._space.architecture(int(self._rows[number - 1]))
        generator = np.random.default_rng(number)
        latency_s = float(generator.uniform(1e-3, 2e-2))
        metrics = {"latency_p50": latency_s, "parameters": float(parameter_count(architecture))}
        if state is TrialState.COMPLETED:
            metrics["accuracy"] = 0.9 - 1e-3 / latency_s - float(generator.exponential(0.02))
        expected = {name: Expected(value=value, deviation=0.1 * value) for name, value in metrics.items()}
        suggested = SuggestionRecord(strategy="random", predicted=expected, seconds=0.1)
        return {
            "study_id": self._id,
            "number": number,
            "state": state,
            "architecture": architecture,
            "architecture_key": architecture.key,
            "origin": "random",
            "created_at": self._began_at + (number - 1) * APART,
            "ended_at": self._began_at + number * APART if state is TrialState.COMPLETED else None,
            "metrics": metrics,
            "variances": {"latency_p50": 1e-9, "accuracy": 1e-4},
            "predicted": {"latency_p50": latency_s, "accuracy": 0.8},
            "suggestion": suggested,
        }

    def _job(self, trial: int, kind: JobKind) -> dict[str, Any]:
        return {"study_id": self._id, "trial_id": trial, "kind": kind, "created_at": _now()}

    def _distilling(self, architecture: Architecture) -> DistillWork:
        return DistillWork(
            architecture=architecture,
            fidelity=Fidelity.FLASH,
            recipe=self._spec.distillation,
            steps=self._spec.flash_steps,
            data=ARTEFACT,
            teacher=ARTEFACT,
            seed=0,
        )

    def _measuring(self, architecture: Architecture) -> MeasureWork:
        return MeasureWork(
            architecture=architecture,
            head=Head(classes=2),
            profile=self._spec.target,
            quantiles=self._spec.judged_quantiles,
            effort=Effort.SEARCH,
            seed=0,
        )

    def _measurement(self, trial: Trial) -> dict[str, Any]:
        p50_s = trial.metrics["latency_p50"]
        processes, calls = SAMPLES
        samples_s = np.random.default_rng(trial.number).normal(p50_s, 0.01 * p50_s, (processes, calls))
        measured = Measurement(
            profile=self._spec.target,
            effort=Effort.SEARCH,
            source=Source.MEASURED,
            verdict=Verdict.STEADY,
            p50=_quantile(p50_s),
            p90=_quantile(1.1 * p50_s),
            p99=_quantile(1.3 * p50_s),
            throughput_per_s=1 / p50_s,
            load_s=0.1,
            first_call_s=0.2,
            compile_s=0.0,
            peak_memory_bytes=200_000_000,
            log_variance=1e-4,
            hardware_key="k",
            environment={"cpu": "none: drawn at random", "system": "none"},
            samples_s=[],
            measured_at=_now().isoformat(),
        )
        return {
            "study_id": self._id,
            "trial_id": trial.id,
            "role": MeasurementRole.TRIAL,
            "measurement": measured,
            "samples": processes * calls,
            "samples_s": samples_s.tolist(),
            "created_at": _now(),
        }


def score(value: float) -> Score:
    return Score(value=value, low=value - 0.01, high=value + 0.01)


def curve() -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(step=20 * place, value=0.8 - 0.3 / place) for place in range(1, 11))


def _evaluation(trial: Trial) -> dict[str, Any]:
    return {
        "trial_id": trial.id,
        "fidelity": Fidelity.FLASH,
        "selection": score(trial.metrics["accuracy"]),
        "report": None,
        "curve": curve(),
        "steps": 200,
        "seconds": 60.0,
        "weights": ARTEFACT,
        "created_at": _now(),
    }


def _attempt(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "attempt": 1,
        "study_id": job.study_id,
        "kind": job.kind,
        "worker": "gpu-3",
        "leased_at": _now() - timedelta(seconds=60),
        "request": f"{job.id:032x}",
        "ended_at": _now(),
        "seconds": 60.0,
        "reason": AttemptEnd.DONE,
    }


def _target(kind: JobKind) -> str | None:
    return "cpu/torch" if kind is JobKind.MEASURE else None


def _quantile(value_s: float) -> Quantile:
    return Quantile(value_s=value_s, low_s=0.98 * value_s, high_s=1.02 * value_s)


def _prepared() -> Prepared:
    return Prepared(
        data=ARTEFACT,
        teacher=ARTEFACT,
        architecture=TEACHER,
        head=Head(classes=2),
        classes=("yes", "no"),
        splits={"train": 800, "selection": 100, "report": 100},
        teacher_selection=score(0.85),
        teacher_report=score(0.84),
        baselines={},
        seconds=1.0,
    )


def _now() -> datetime:
    return datetime.now(UTC)
