"""A finished study whose finalists were exported as real folders, and what every page must hold."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from distillation.assistants.tradeoff import Assistance, Point, Round, tradeoff
from distillation.provenance import Hashes, Preparation, Provenance, Surroundings
from distillation.recipe import Recipe
from distillation.values import CurvePoint, Dataset, Estimate, Fidelity, Task, Teacher
from hardware.calibration import calibrate
from hardware.values import Effort, Quantile, QuantileName
from protocol.calibration import CalibrationRecord
from protocol.jobs import Finalized, Measured, MeasureWork
from protocol.study import Budget
from protocol.views import StudyState, TrialView
from search_space import Architecture
from service.operations.calibrations import sample_of

SCREENS = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}
LAMBDA = 0.2
SLOW_TRIAL = 7
"""It breaks the study's bound on latency."""


def assistance(teacher: Architecture) -> Assistance:
    """One round of candidates, the second of them chosen."""

    def candidate(sparsity: float, share: float, value: float) -> Point:
        estimate = Estimate(value=value, low=value - 0.01, high=value + 0.01, examples=1_500)
        merit = tradeoff(value, share, LAMBDA)
        return Point(sparsity=sparsity, architecture=teacher, share=share, selection=estimate, tradeoff=merit)

    points = [
        candidate(0.2, 0.8, 0.745),
        candidate(0.5, 0.5, 0.74),
        candidate(0.8, 0.2, 0.61),
        candidate(-1, 0.1, 0.52),
    ]
    return Assistance(rounds=(Round(points=tuple(points), chosen=1),))


def provenance(architecture: Architecture, teacher: Architecture) -> Provenance:
    estimate = Estimate(value=0.74, low=0.72, high=0.76, examples=2_600)
    return Provenance(
        name="looked-at",
        task=Task(dataset=Dataset(source="docstrings")),
        preparation=Preparation(teacher=Teacher(model="built-in"), seed=0, threads=1, device="cpu"),
        architecture=architecture,
        teacher_architecture=teacher,
        recipe=Recipe(),
        previous=None,
        fidelity=Fidelity.FULL,
        steps=1_000,
        seed=7,
        is_cached=True,
        hashes=Hashes(data="d" * 64, tokenizer="e" * 64, teacher="f" * 64, initial="1" * 64, final="2" * 64),
        surroundings=Surroundings(
            versions={"torch": "<b>2</b>"}, machine={"cpu": "imagined"}, device="cpu", threads=1, processes=1
        ),
        selection=estimate,
        report=estimate,
        curve=(CurvePoint(step=500, value=0.7),),
        assistance=assistance(teacher),
    )


@pytest.fixture(scope="module")
def finished(worker, home: Path):
    """The worker of a study that is completed; its measurements have three processes of samples that scatter."""
    plain = worker._result
    chance = random.Random(0)

    def slowed(measurement):
        slow = Quantile(value_s=0.02, low_s=0.019, high_s=0.021)
        return replace(measurement, p50=slow, p90=slow, p99=slow)

    def scattered(measurement):
        p50_s = measurement.p50.value_s
        samples = [
            [p50_s * (1 + 0.02 * process) * chance.lognormvariate(0, 0.05) for _ in range(200)] for process in range(3)
        ]
        return replace(measurement, samples_s=samples, environment={"cpu": "imagined", "os": worker.hostile})

    def result(grant):
        answer = plain(grant)
        if isinstance(answer, Measured):
            measured = slowed(answer.measurement) if grant.trial == SLOW_TRIAL else answer.measurement
            return answer.model_copy(update={"measurement": scattered(measured)})
        if isinstance(answer, Finalized):
            folder = home / f"export-{grant.trial}"
            folder.mkdir()
            (folder / "config.json").write_text("{}")
            (folder / "model.safetensors").write_bytes(bytes(1_234_567))
            made = provenance(grant.work.architecture, worker.study().prepared.architecture)
            (folder / "provenance.json").write_text(json.dumps(asdict(made)))
            export = worker.client.artefacts.upload_folder(folder)
            return answer.model_copy(update={"measurement": scattered(answer.measurement), "export": export})
        return answer

    worker._result = result
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    return worker


@pytest.fixture(scope="module")
def calibrated(worker) -> CalibrationRecord:
    """A calibration that was uploaded, of the study's target and space."""
    worker.work_until(lambda: worker.study().prepared is not None)
    spec, head = worker.spec, worker.study().prepared.head
    sample, space_key = sample_of(spec.model_copy(update={"budget": Budget(calibration=20)}), spec.widest())

    def measured(architecture):
        work = MeasureWork(architecture=architecture, head=head, profile=spec.target, effort=Effort.QUICK, seed=0)
        return worker._result(SimpleNamespace(work=work, trial=0)).measurement

    found = calibrate(
        sample, spec.target, head, measured, effort=Effort.QUICK, quantile=QuantileName.P50, space_key=space_key
    )
    record = CalibrationRecord.model_validate(found)
    worker.client.calibrations.upload(record)
    return record


@pytest.fixture
def trials(finished) -> tuple[TrialView, ...]:
    return tuple(finished.client.studies.trials(finished.spec.name))


@pytest.fixture
def finalist(trials: tuple[TrialView, ...]) -> TrialView:
    return next(trial for trial in trials if trial.finalist is not None)


@pytest.fixture(scope="session")
def faults() -> Callable[[Page], list[str]]:
    """What axe finds on the page that is serious or worse."""
    axe = Axe()

    def found(page: Page) -> list[str]:
        violations = axe.run(page).response["violations"]
        return [
            f"{each['id']}: {node['html']} {node['failureSummary']}"
            for each in violations
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    return found


@pytest.fixture
def on_every_screen(browser, screenshots: Path, faults) -> Callable[..., None]:
    """Opens the page light, dark and as on a phone: it fits, axe finds nothing serious, nothing is complained about."""

    def look(
        name: str, url: str, wait_for: str, prepare: Callable[[Page], None] = lambda page: None, allowed: str = "\0"
    ) -> None:
        for screen, settings in SCREENS.items():
            context = browser.new_context(**settings)
            page = context.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error, heard=complaints: heard.append(str(error)))
            page.on(
                "console",
                lambda message, heard=complaints: heard.append(message.text) if message.type == "error" else None,
            )
            page.goto(url)
            page.locator(wait_for).first.wait_for()
            prepare(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{screen}: too wide"
            assert faults(page) == [], screen
            page.screenshot(path=screenshots / f"{name}-{screen}.png", full_page=True)
            assert [text for text in complaints if allowed not in text] == [], screen
            context.close()

    return look
