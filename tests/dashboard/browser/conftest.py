"""A real browser, the real service, and a worker that answers at once, so that the page is seen in every state.

The worker leases its jobs over REST like any other, but trains nothing.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, Page, sync_playwright

from client import Client
from encoders.values import Head
from hardware.values import Effort, Measurement, Verdict
from protocol.jobs import (
    PROTOCOL_VERSION,
    Calibrated,
    CurvePoint,
    Distilled,
    Failure,
    FailureReason,
    Finalized,
    Grant,
    JobKind,
    LeaseRequest,
    Measured,
    Prepared,
    Report,
)
from protocol.study import StudySpec
from protocol.views import TrialState
from search_space import Architecture, parameter_count
from service.settings import Settings, sqlite_url
from service.store.unit_of_work import Store
from service.suggester import Suggester
from tests.dashboard.browser import results
from tests.dashboard.browser.results import score

CHROMIUM = os.environ.get("STILLHOUSE_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<img src=x onerror=alert(1)> </script><script>alert(2)</script>"
BROKEN_TRIAL = 5
TRIALS = 14
TEACHER = Architecture(vocabulary_size=2000, layers=4, hidden_size=192, heads=6, head_size=32, ffn_size=768)
SPEC = StudySpec.model_validate(
    {
        "name": "looked-at",
        "teacher": "built-in",
        "task": {"dataset": "docstrings"},
        "search_space": {
            "layers": {"low": 1, "high": 4},
            "hidden_size": {"low": 48, "high": 192, "step": 24},
            "heads": [1, 2, 3, 4, 6],
            "head_size": 32,
            "ffn_size": {"low": 96, "high": 768, "step": 96},
        },
        "constraints": ["latency_p50 <= 9 ms"],
        "target": {"batch": 8, "length": 32, "threads": 1},
        "budget": {"trials": TRIALS, "parallel": 2, "flash_floor": 1, "finalists": 3, "measuring": "quick"},
        "baselines": {"half": {"layers": 2, "hidden_size": 192, "heads": 6, "head_size": 32, "ffn_size": 768}},
        "strategy": "sobol",
    }
)


@dataclass
class Answering:
    """A worker that answers each job at once."""

    client: Client
    suggester: Suggester
    artefact: str
    home: Path
    spec: StudySpec = SPEC
    hostile: str = HOSTILE
    """What it writes wherever it may."""
    broken_trial: int = BROKEN_TRIAL
    trained: list[int] = field(default_factory=list)

    def lease(self) -> Grant | None:
        """The next job; the suggester is given the time to make one."""
        self.suggester.step()
        return self.client.jobs.lease(
            LeaseRequest(
                worker=f"test {HOSTILE}",
                protocol_version=PROTOCOL_VERSION,
                kinds=tuple(JobKind),
                targets=("cpu/torch",),
                wait_s=0,
            )
        )

    def work_until(self, done: Callable[[], bool]) -> None:
        while not done():
            grant = self.lease()
            assert grant is not None, self.study()
            self.answer(grant)

    def answer(self, grant: Grant) -> None:
        self.client.jobs.report(grant.job, Report(attempt=grant.attempt, result=self._result(grant)))

    def study(self):
        return self.client.studies.view(SPEC.name)

    def ended(self) -> int:
        return sum(count for state, count in self.study().trials.items() if TrialState(state).ended)

    def _result(self, grant: Grant):
        work = grant.work
        match work.kind:
            case JobKind.PREPARE:
                return prepared(self.artefact)
            case JobKind.CALIBRATE:
                found = {name: measurement(one.architecture, one.effort) for name, one in work.references.items()}
                return Calibrated(measurements=found)
            case JobKind.MEASURE if grant.trial == BROKEN_TRIAL:
                return Failure(reason=FailureReason.INVALID, message=HOSTILE)
            case JobKind.MEASURE:
                return Measured(measurement=measurement(work.architecture, work.effort))
            case JobKind.DISTILL:
                self.trained.append(grant.trial)
                value = quality(work.architecture)
                return Distilled(
                    selection=score(value, 0.015),
                    curve=curve(value, work.steps),
                    steps=work.steps,
                    seconds=4.0,
                    weights=self.artefact,
                )
            case JobKind.FINALIZE:
                value = quality(work.architecture) + 0.008
                return Finalized(
                    selection=score(value, 0.015),
                    report=score(value - 0.004, 0.017),
                    curve=curve(value, work.steps),
                    steps=work.steps,
                    seconds=40.0,
                    measurement=measurement(work.architecture, work.effort),
                    export=self.artefact,
                )


def prepared(artefact: str) -> Prepared:
    return Prepared(
        data=artefact,
        teacher=artefact,
        architecture=TEACHER,
        head=Head(classes=13),
        classes=tuple("abcdefghijklm"),
        splits={"train": 14_000, "selection": 1_500, "report": 2_600},
        teacher_selection=score(0.748, 0.014),
        teacher_report=score(0.743, 0.016),
        baselines={"TF-IDF + logistic regression": score(0.707, 0.017), "majority class": score(0.077, 0.01)},
        notes=("13 classes at 1,400 texts each.",),
        seconds=60.0,
    )


def measurement(shape: Architecture, effort: Effort) -> Measurement:
    """A latency that grows with the work to be done."""
    p50 = (
        4e-4
        + shape.layers
        * (4 * shape.hidden_size * shape.heads_by_layer[0] * shape.head_size + 2 * shape.hidden_size * shape.ffn_size)
        * 6e-9
    )
    verdict = Verdict.PROVISIONAL if effort is Effort.QUICK else Verdict.STEADY
    return results.measurement(SPEC.target, p50, effort=effort, verdict=verdict, samples=120)


def quality(shape: Architecture) -> float:
    size = parameter_count(shape) - 2000 * shape.hidden_size
    return 0.745 - 0.16 * math.exp(-(shape.hidden_size - 20) / 45) - 0.05 * math.exp(-size / 2e5)


def curve(value: float, steps: int) -> tuple[CurvePoint, ...]:
    shares = [number / 8 for number in range(1, 9)]
    return tuple(CurvePoint(step=round(steps * share), value=value * (1 - math.exp(-4 * share))) for share in shares)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """The address of a service in a process and a home of its own."""
    code = (
        "import sys; from service.server import serve; from service.settings import Settings;"
        "serve(Settings.from_environment({}, home=sys.argv[1], port=0), ready=lambda at: print(at, flush=True))"
    )
    command = [sys.executable, "-c", code, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def worker(address: str, home: Path) -> Iterator[Answering]:
    """The worker of a study that was just created; the tests of a module share it, and its progress."""
    settings = Settings(home=home, database_url=sqlite_url(home))
    content = home / "content"
    content.write_text("what every artefact of this test holds")
    with Client(address, patience_s=30) as client, closing(Store(settings.database_url)) as store:
        client.studies.create(SPEC)
        yield Answering(client, Suggester(store, nullcontext), client.artefacts.upload_file(content), home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("STILLHOUSE_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Watched:
    """A page, and everything it complained about or asked for elsewhere."""

    page: Page
    complaints: list[str]


@pytest.fixture
def serious() -> Callable[[Page], list[str]]:
    """What axe-core finds serious or critical on a page; its script is put into the page from outside."""

    def check(page: Page) -> list[str]:
        page.evaluate(AXE_FILE_PATH.read_text() + ";undefined")
        found = page.evaluate("axe.run({resultTypes: ['violations']}).then((results) => results.violations)")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return check


@pytest.fixture
def watched(browser: Browser, address: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}") or dialog.dismiss())
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:", "blob:")) else complaints.append(request.url),
    )
    yield Watched(page, complaints)
    context.close()
