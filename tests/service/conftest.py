"""Both stores, a fake clock, and a scripted worker that answers plausible outcomes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from hardware.calibration import calibrate
from hardware.values import Measurement
from protocol.calibration import CalibrationRecord
from protocol.jobs import (
    PROTOCOL_VERSION,
    Calibrated,
    CalibrateWork,
    CurvePoint,
    Distilled,
    DistillWork,
    Failure,
    FailureReason,
    Finalized,
    FinalizeWork,
    Grant,
    JobKind,
    LeaseRequest,
    Measured,
    MeasureWork,
    Outcome,
    Prepared,
    PrepareWork,
    Release,
    Renewal,
    Report,
    Work,
)
from protocol.study import StudySpec
from protocol.views import JobView, StudyView, TrialView
from search_space import Architecture, parameter_count
from service.app import create_app
from service.operations import jobs, views
from service.operations.audit import audited, job_view
from service.operations.studies import create_study
from service.settings import Settings, sqlite_url
from service.store.migrate import upgrade
from service.store.unit_of_work import Store
from service.suggester import Suggester
from tests.databases import postgres_server
from tests.outcomes import SEARCH_SPACE, TEACHER, artefact, latency_s, measurement, prepared, score

TARGET = "cpu/torch"
SPEC = {
    "name": "demo",
    "teacher": "built-in",
    "task": {"dataset": "docstrings"},
    "search_space": SEARCH_SPACE,
    "target": {"batch": 1, "length": 32, "threads": 1},
    "distillation": {"steps": 1000},
    "budget": {"trials": 6, "finalists": 2, "measuring": "quick", "final_measuring": "search"},
    "strategy": "sobol",
}


class FakeClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL of our own."""
    with postgres_server() as server:
        upgrade(server.url)
        yield server.url


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    folder = tmp_path_factory.mktemp("sqlite")
    upgrade(sqlite_url(folder))
    return folder / "stillhouse.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database at the present schema; every test that asks for it runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite"), tmp_path / "stillhouse.db")
        return sqlite_url(tmp_path)
    url: str = request.getfixturevalue("postgres")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = ", ".join(name for (name,) in rows if name != "alembic_version")
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    return url


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(home=tmp_path, database_url=database_url, lease_s=30, max_attempts=3, hosts=("testserver",))


@pytest.fixture
def store(settings: Settings, clock: FakeClock) -> Iterator[Store]:
    store = Store(settings.database_url, clock)
    yield store
    store.close()


@pytest.fixture
def spec() -> dict[str, Any]:
    """The study of these tests, as JSON."""
    return json.loads(json.dumps(SPEC))


def accuracy(architecture: Architecture) -> float:
    """A plausible quality: larger is better, ever less so."""
    return 0.9 - 40 / (parameter_count(architecture) ** 0.5 + 100)


@dataclass
class Answers:
    """How the scripted worker answers; tests change what they are about."""

    teacher: Architecture = TEACHER
    latency_s: Callable[[Architecture], float] = latency_s
    accuracy: Callable[[Architecture], float] = accuracy

    def to(self, work: Work) -> Outcome:
        match work:
            case PrepareWork():
                return self.prepared()
            case CalibrateWork():
                measured = {
                    name: measurement(self.latency_s(one.architecture), work.profile, one.effort)
                    for name, one in work.references.items()
                }
                return Calibrated(measurements=measured, calibration=self.calibration(work) if work.sample else None)
            case MeasureWork():
                return Measured(measurement=self._measurement(work.architecture, work))
            case DistillWork():
                return Distilled(
                    selection=score(self.accuracy(work.architecture)),
                    curve=(CurvePoint(step=work.steps, value=self.accuracy(work.architecture)),),
                    steps=work.steps,
                    seconds=3.0,
                    weights=artefact("weights"),
                )
            case FinalizeWork():
                return Finalized(
                    selection=score(self.accuracy(work.architecture) + 0.02),
                    report=score(self.accuracy(work.architecture) + 0.01),
                    curve=(),
                    steps=work.steps,
                    seconds=30.0,
                    measurement=None if work.profile is None else self._measurement(work.architecture, work),
                    export=artefact("export"),
                )

    def calibration(self, work: CalibrateWork) -> CalibrationRecord:
        found = calibrate(
            work.sample,
            work.profile,
            work.head,
            lambda architecture: measurement(self.latency_s(architecture), work.profile, work.effort),
            effort=work.effort,
            quantile=work.quantiles[0],
            space_key=work.space_key,
        )
        return CalibrationRecord.model_validate(found)

    def prepared(self) -> Prepared:
        return prepared(architecture=self.teacher)

    def _measurement(self, architecture: Architecture, work: Any) -> Measurement:
        return measurement(self.latency_s(architecture), work.profile, work.effort)


@pytest.fixture
def answers() -> Answers:
    return Answers()


def lease_request(worker: str = "w", **changes: Any) -> LeaseRequest:
    given = {"kinds": tuple(JobKind), "targets": (TARGET,), "protocol_version": PROTOCOL_VERSION, "wait_s": 0}
    return LeaseRequest(**{**given, "worker": worker, **changes})


class Operations:
    """A scripted worker that calls the operations, each in a unit of work of its own."""

    def __init__(self, store: Store, settings: Settings, answers: Answers) -> None:
        self.store = store
        self.settings = settings
        self.answers = answers
        with store.write() as uow:
            for name in ("data", "teacher", "weights", "export", "checkpoint"):
                uow.artefacts.add(artefact(name), 1, uow.now)

    artefact = staticmethod(artefact)

    def create(self, **changes: Any) -> bool:
        """Starts the study of these tests with some keys changed; whether it is new."""
        with self.store.write() as uow:
            return create_study(uow, StudySpec.model_validate({**SPEC, **changes}))

    def lease(self, worker: str = "w", **changes: Any) -> Grant | None:
        with self.store.write() as uow:
            return jobs.lease(uow, self.settings, lease_request(worker, **changes))

    def renew(self, grant: Grant, **changes: Any) -> Any:
        message = Renewal(attempt=grant.attempt, **changes)
        with audited(self.store, grant.job, message) as uow:
            return jobs.renew(uow, self.settings, grant.job, message)

    def report(self, grant: Grant, result: Any = None) -> None:
        message = Report(attempt=grant.attempt, result=result or self.answers.to(grant.work))
        with audited(self.store, grant.job, message) as uow:
            jobs.report(uow, self.settings, grant.job, message)

    def fail(self, grant: Grant, reason: FailureReason = FailureReason.ERROR, message: str = "it broke") -> None:
        self.report(grant, Failure(reason=reason, message=message))

    def release(self, grant: Grant, checkpoint: str | None = None) -> None:
        message = Release(attempt=grant.attempt, checkpoint=checkpoint)
        with audited(self.store, grant.job, message) as uow:
            jobs.release(uow, grant.job, message)

    def job(self, identity: int) -> JobView:
        with self.store.read() as uow:
            return job_view(uow, identity)

    def work(self, *kinds: JobKind) -> list[Grant]:
        """Does every job of these kinds that there is, as they come up; what was done."""
        done = []
        while (grant := self.lease(kinds=kinds or tuple(JobKind))) is not None:
            self.report(grant)
            done.append(grant)
        return done

    def finish(self, results: dict[JobKind, Callable[[Grant], Outcome]], *only: JobKind) -> None:
        """Does every job of these kinds and suggests trials until nothing more comes up; `results` are what to answer,
        where it is not as ever.
        """
        suggester = Suggester(self.store, nullcontext)
        while True:
            suggested, worked = suggester.step(), 0
            while (grant := self.lease(kinds=only or tuple(JobKind))) is not None:
                answer = results.get(grant.work.kind, lambda grant: self.answers.to(grant.work))
                self.report(grant, answer(grant))
                worked += 1
            if not worked and not suggested:
                return

    def study(self, name: str = "demo") -> StudyView:
        with self.store.read() as uow:
            return views.study_view(uow, name)

    def trials(self, name: str = "demo") -> tuple[TrialView, ...]:
        with self.store.read() as uow:
            return views.trial_views(uow, name, self.settings.exports)


@pytest.fixture
def worker(store: Store, settings: Settings, answers: Answers) -> Operations:
    return Operations(store, settings, answers)


class Http:
    """A scripted worker that speaks HTTP."""

    def __init__(self, http: httpx.Client, answers: Answers) -> None:
        self.http = http
        self.answers = answers
        for name in ("data", "teacher", "weights", "export"):
            assert http.put(f"/v1/artefacts/{artefact(name)}", content=name.encode()).is_success

    def lease(self, **changes: Any) -> Grant | None:
        answer = self.http.post("/v1/jobs:lease", json=lease_request(**changes).model_dump(mode="json"))
        assert answer.is_success, answer.text
        return None if answer.status_code == 204 else Grant.model_validate_json(answer.content)

    def post(self, grant: Grant, verb: str, message: Any) -> httpx.Response:
        return self.http.post(f"/v1/jobs/{grant.job}:{verb}", json=message.model_dump(mode="json"))

    def work(self) -> int:
        """Does every job that there is; how many they were."""
        done = 0
        while (grant := self.lease()) is not None:
            report = Report(attempt=grant.attempt, result=self.answers.to(grant.work))
            assert self.post(grant, "report", report).status_code == 200
            done += 1
        return done


@pytest.fixture
def http(settings: Settings, clock: FakeClock) -> Iterator[TestClient]:
    with TestClient(create_app(settings, clock)) as client:
        yield client


@pytest.fixture
def http_worker(http: TestClient, answers: Answers) -> Http:
    return Http(http, answers)
