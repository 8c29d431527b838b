"""Studies and trials as the service shows them, and the command in this process."""

import signal
import threading
from datetime import UTC, datetime

import pytest
import uvicorn

from cli.interrupts import SIGNALS
from cli.main import main
from distillation.values import Fidelity
from encoders.values import Head
from protocol.jobs import Prepared, Score
from protocol.study_file import parse_study
from protocol.tokens import CreateToken, Scope
from protocol.views import (
    EvaluationView,
    FinalistState,
    FinalistView,
    LatencyView,
    StudyState,
    StudyView,
    TrialState,
    TrialView,
)
from search_space import Architecture
from service.app import create_app
from service.operations.tokens import create_token
from service.server import bind, configuration
from service.settings import Settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TEACHER = Architecture(vocabulary_size=8000, layers=4, hidden_size=192, heads=6, head_size=32, ffn_size=768)


def score(value):
    return Score(value=value, low=value - 0.02, high=value + 0.02)


def latency(p50_ms, verdict="steady", hardware_key="here"):
    return LatencyView(
        p50_s=p50_ms / 1e3,
        p90_s=p50_ms / 1e3 * 1.2,
        p99_s=p50_ms / 1e3 * 2,
        low_s=p50_ms / 1e3 * 0.99,
        high_s=p50_ms / 1e3 * 1.01,
        source="measured",
        verdict=verdict,
        effort="search",
        samples=100,
        measured_at=NOW.isoformat(),
        hardware_key=hardware_key,
        environment={},
    )


def trial(
    number, *, value=0.7, ms=4.0, state=TrialState.COMPLETED, on_front=True, origin="sobol", finalist=None, **more
):
    completed = state is TrialState.COMPLETED
    evaluation = EvaluationView(
        fidelity=Fidelity.FLASH, selection=score(value), report=None, curve=(), steps=200, seconds=9.0
    )
    known = {"reason": None, "progress": None, "ended_at": NOW} | more
    return TrialView(
        study="demo",
        number=number,
        state=state,
        architecture=Architecture(vocabulary_size=8000, layers=2, hidden_size=96, heads=3, head_size=32, ffn_size=384),
        label="2x96 a3x32 f384",
        origin=origin,
        metrics={"accuracy": value, "latency_p50": ms / 1e3} if completed else {},
        evaluation=evaluation if completed else None,
        latency=latency(ms, "provisional") if completed else None,
        finalist=finalist,
        on_front=on_front and completed,
        created_at=NOW,
        **known,
    )


def finalist(report, ms, hardware_key="here", verdict="steady", selection=None):
    evaluation = EvaluationView(
        fidelity=Fidelity.FULL,
        selection=score(report if selection is None else selection),
        report=score(report),
        curve=(),
        steps=800,
        seconds=40.0,
    )
    return FinalistView(
        state=FinalistState.COMPLETED,
        evaluation=evaluation,
        latency=latency(ms, verdict, hardware_key),
        export="e" * 64,
        error=None,
    )


def study(state=StudyState.COMPLETED, teacher_selection=0.75, teacher_report=0.74, teacher_ms=12.0, **changes):
    spec = parse_study("name: demo\nteacher: built-in\ntask: {dataset: docstrings}", origin="t", default_name="demo")
    prepared = Prepared(
        data="d" * 64,
        teacher="a" * 64,
        architecture=TEACHER,
        head=Head(classes=13),
        classes=("a", "b"),
        splits={"train": 10},
        teacher_selection=score(teacher_selection),
        teacher_report=score(teacher_report),
        baselines={"tf-idf + logistic regression": score(0.707), "majority class": score(0.08)},
        seconds=60.0,
    )
    ended = state in (StudyState.COMPLETED, StudyState.FAILED)
    values = {
        "name": "demo",
        "state": state,
        "spec": spec,
        "digest": spec.digest,
        "created_at": NOW,
        "ended_at": NOW if ended else None,
        "prepared": prepared,
        "references": {"teacher": latency(teacher_ms)},
        "trials": {"completed": 3},
        "finalists": {},
        "jobs": (),
        "hypervolume": 0.5,
        "front_size": 2,
        "remaining_s": None if ended else 90.0,
        "notes": (),
        "error": None,
    }
    return StudyView(**(values | changes))


@pytest.fixture(name="study")
def study_fixture():
    return study


@pytest.fixture(name="trial")
def trial_fixture():
    return trial


@pytest.fixture(name="finalist")
def finalist_fixture():
    return finalist


@pytest.fixture(name="latency")
def latency_fixture():
    return latency


@pytest.fixture
def stillhouse(capsys, monkeypatch, tmp_path):
    """Runs the command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STILLHOUSE_URL", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def service(tmp_path):
    """The address of a real service, and its parts."""
    settings = Settings.from_environment({}, home=tmp_path, port=0)
    app = create_app(settings)
    with bind(settings) as listening:
        server = uvicorn.Server(configuration(app, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", app.state.parts
        server.should_exit = True
        thread.join()


@pytest.fixture
def closed(service):
    """The same where tokens are asked for; its address, and its store."""
    address, parts = service
    with parts.store.write() as uow:
        create_token(uow, CreateToken(name="mine", scope=Scope.READ_ONLY))
    parts.keys.read()  # as it does a second later
    return address, parts.store
