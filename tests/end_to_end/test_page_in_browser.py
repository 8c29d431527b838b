"""The dashboard in a real browser, over the real service, while a study runs.

The worker is this test: it leases jobs over REST like any other and answers them at once, without training anything,
so that the page can be looked at in every state.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from client import Client
from encoders.values import Head
from hardware.values import Effort, Measurement, Quantile, Source, Verdict
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
    Progress,
    Renewal,
    Report,
    Score,
)
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from search_space import Architecture, parameter_count
from service.settings import Settings, sqlite_url
from service.store.unit_of_work import Store
from service.suggester import Suggester

pytestmark = pytest.mark.browser

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
SCORED = """number => document.getElementById("front-figure").data
    .some((trace) => trace.yaxis !== "y2" && trace.customdata?.includes(number))"""
"""Whether the front's figure has a point with a score for this trial."""

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
        return self.client.studies.get(SPEC.name)

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
        baselines={"TF-IDF + logistic regression": score(0.707, 0.017)},
        notes=("13 classes at 1,400 texts each.",),
        seconds=60.0,
    )


def measurement(shape: Architecture, effort: Effort) -> Measurement:
    """A latency that grows with the work to be done."""
    p50 = (
        4e-4
        + shape.layers * (4 * shape.hidden_size * shape.attention_size + 2 * shape.hidden_size * shape.ffn_size) * 6e-9
    )
    quick = effort is Effort.QUICK

    def quantile(factor: float) -> Quantile:
        return Quantile(value_s=p50 * factor, low_s=p50 * factor * 0.98, high_s=p50 * factor * 1.03)

    return Measurement(
        profile=SPEC.target,
        effort=effort,
        source=Source.MEASURED,
        verdict=Verdict.PROVISIONAL if quick else Verdict.STEADY,
        p50=quantile(1.0),
        p90=quantile(1.08),
        p99=quantile(1.3),
        throughput_per_s=8 / p50,
        load_s=0.1,
        first_call_s=0.01,
        compile_s=0.0,
        peak_memory_bytes=200_000_000,
        log_variance=1e-4,
        hardware_key="0" * 16,
        environment={"cpu": "none"},
        samples_s=[[p50] * 120],
        measured_at="2026-01-02T03:04:05+00:00",
    )


def quality(shape: Architecture) -> float:
    size = parameter_count(shape) - 2000 * shape.hidden_size
    return 0.745 - 0.16 * math.exp(-(shape.hidden_size - 20) / 45) - 0.05 * math.exp(-size / 2e5)


def score(value: float, half: float) -> Score:
    return Score(value=value, low=value - half, high=value + half)


def curve(value: float, steps: int) -> tuple[CurvePoint, ...]:
    shares = [number / 8 for number in range(1, 9)]
    return tuple(CurvePoint(step=round(steps * share), value=value * (1 - math.exp(-4 * share))) for share in shares)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a service in a process and a home of its own."""
    home = tmp_path / "home"
    code = (
        "import sys; from service.app import serve; from service.settings import Settings;"
        "serve(Settings.from_environment({}, home=sys.argv[1], port=0), ready=lambda at: print(at, flush=True))"
    )
    command = [sys.executable, "-c", code, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture
def worker(address: str, tmp_path: Path) -> Iterator[Answering]:
    settings = Settings(home=tmp_path / "home", database_url=sqlite_url(tmp_path / "home"))
    content = tmp_path / "content"
    content.write_text("what every artefact of this test holds")
    with Client(address, patience_s=30) as client, closing(Store(settings.database_url)) as store:
        client.studies.create(SPEC)
        yield Answering(client, Suggester(store, nullcontext), client.artefacts.upload_file(content))


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


def points(page: Page) -> int:
    return int(page.locator("#front-figure").get_attribute("data-points") or 0)


def drawn_marks(page: Page) -> int:
    return page.locator("#front-figure .points path.point").count()


def test_page_follows_a_running_study_without_reload(worker, watched, address, screenshots):
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}")
    expect(page.locator("#state")).to_have_text("preparing")
    expect(page.locator("#remaining")).to_have_text("not known yet")
    expect(page.locator("#link")).to_have_text("live")
    page.evaluate("window.sameDocument = true")

    worker.work_until(lambda: worker.ended() >= 8 and len(worker.trained) >= 5)
    expect(page.locator("#trials-table tr.trial").first).to_be_visible(timeout=5000)
    expect(page.locator("#front-figure .points path.point").first).to_be_visible(timeout=10_000)
    front = worker.client.studies.front(SPEC.name)
    page.wait_for_function(f"document.getElementById('front-size').textContent === '{len(front.numbers)}'")
    assert drawn_marks(page) >= len(front.numbers) + 2, "the front and the teacher on both splits"

    known = {trial.number for trial in worker.client.studies.trials(SPEC.name) if trial.state is TrialState.COMPLETED}

    def newly_completed() -> list[int]:
        trials = worker.client.studies.trials(SPEC.name)
        return [trial.number for trial in trials if trial.state is TrialState.COMPLETED and trial.number not in known]

    worker.work_until(lambda: bool(newly_completed()))
    reported_s = time.monotonic()
    number = newly_completed()[0]
    expect(page.locator(f"#trial-{number} .state")).to_have_text("completed", timeout=3000)
    expect(page.locator(f"#trial-{number} .quality")).to_have_text(re.compile(r"^0\.\d{3}$"), timeout=3000)
    page.wait_for_function(SCORED, arg=number, timeout=3000)
    assert time.monotonic() - reported_s < 3
    assert page.evaluate("window.sameDocument") is True

    grant = worker.lease()
    assert grant is not None
    worker.client.jobs.renew(
        grant.job, Renewal(attempt=grant.attempt, progress=Progress(stage=HOSTILE, done=3, total=9))
    )
    expect(page.locator("#doing")).to_contain_text(f"{HOSTILE} 3 of 9", timeout=3000)
    expect(page.locator(f"#trial-{BROKEN_TRIAL} .reason")).to_contain_text(HOSTILE)
    page.screenshot(path=screenshots / "running.png", full_page=True)

    worker.answer(grant)
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    expect(page.locator("#state")).to_have_text("completed", timeout=5000)
    expect(page.locator("#link")).to_have_text("ended")
    expect(page.locator("#finalists-table tbody tr")).to_have_count(SPEC.budget.finalists + 1)
    assert page.evaluate("window.sameDocument") is True
    assert watched.complaints == []


def test_finished_study_is_readable_on_every_screen(worker, watched, browser, address, screenshots):
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}")
    expect(page.locator("#hypervolume-figure .scatterlayer path.js-line")).to_be_visible(timeout=10_000)
    expect(page.locator("#front-figure .points path.point").first).to_be_visible()
    assert drawn_marks(page) >= points(page) > 10
    assert page.locator("#front-figure .scatterlayer .yerror").count() >= SPEC.budget.finalists
    page.screenshot(path=screenshots / "light.png", full_page=True)

    served = httpx.get(f"{address}/studies/{SPEC.name}", trust_env=False).text
    for identity in ("state", "trials-count", "front-size", "hypervolume", "teacher", "remaining-term", "remaining"):
        said = re.search(rf'id="{identity}"[^>]*>([^<]*)<', served)
        assert said is not None
        assert said[1].strip() == page.locator(f"#{identity}").inner_text(), (
            f"{identity} changes when scripts take over"
        )

    for name, screen in {
        "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
        "phone-dark": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "color_scheme": "dark"},
    }.items():
        context = browser.new_context(**screen)
        other = context.new_page()
        other.goto(f"{address}/studies/{SPEC.name}")
        expect(other.locator("#front-figure .points path.point").first).to_be_visible(timeout=10_000)
        expect(other.locator("#hypervolume-figure .scatterlayer path.js-line")).to_be_visible(timeout=10_000)
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the screen"
        assert other.evaluate(
            "[...document.querySelectorAll('.scroll')].every((it) => it.scrollWidth <= it.clientWidth)"
        )
        other.screenshot(path=screenshots / f"{name}.png", full_page=True)
        context.close()
    page.goto(address)
    expect(page.locator("#studies a")).to_have_text(SPEC.name)
    expect(page.locator("#link")).to_have_text("live")
    page.screenshot(path=screenshots / "overview.png", full_page=True)
    assert watched.complaints == []


def test_points_and_keys_open_a_trial(worker, watched, address, screenshots):
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}")
    expect(page.locator("#front-figure .points path.point").first).to_be_visible(timeout=10_000)

    front = worker.client.studies.front(SPEC.name).numbers
    fastest = min(
        (trial for trial in worker.client.studies.trials(SPEC.name) if trial.number in front),
        key=lambda trial: trial.metrics["latency_p50"],
    )
    front_trace = page.locator("#front-figure .scatterlayer .trace", has=page.locator("path.js-line"))
    front_trace.locator("path.point").first.scroll_into_view_if_needed()
    box = front_trace.locator("path.point").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#front-figure .hoverlayer")).to_contain_text(f"trial {fastest.number}")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(f"#detail-{fastest.number}")).to_be_visible()
    expect(page.locator(f"#detail-{fastest.number} .curve").first).to_be_visible()
    assert page.url.endswith(f"#trial-{fastest.number}")
    page.wait_for_timeout(600)
    page.screenshot(path=screenshots / "opened.png")

    page.locator("#trial-2 button.open").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_be_visible()
    expect(page.locator(f"#detail-{fastest.number}")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_be_hidden()

    page.get_by_role("button", name="Latency").press("Enter")
    shown = [int(text) for text in page.locator("#trials-table tr.trial button.open").all_inner_texts()]
    latencies = {t.number: t.latency.p50_s if t.latency else math.inf for t in worker.client.studies.trials(SPEC.name)}
    assert [latencies[number] for number in shown] == sorted(latencies.values())

    page.get_by_role("button", name="copy").press("Enter")
    expect(page.get_by_role("button", name="copied")).to_be_visible()

    page.goto(f"{address}/studies/{SPEC.name}#trial-3")
    page.reload()
    expect(page.locator("#detail-3")).to_be_visible()
    assert watched.complaints == []


def test_page_says_that_the_service_is_gone(worker, watched, address):
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}")
    expect(page.locator("#link")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("#link")).to_contain_text("cannot be reached", timeout=5000)
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("live", timeout=10_000)
