"""The page of a study with ten thousand trials, written straight into the store."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import Page, expect
from sqlalchemy import insert

from protocol.distillation import DistillationSpec
from protocol.jobs import Prepared
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from search_space import Architecture, parameter_count
from service.settings import Settings, sqlite_url
from service.store.tables import Evaluation, MeasurementRole, MeasurementRow, Study, Trial
from service.store.unit_of_work import Store
from tests.dashboard.browser.results import measurement, score

pytestmark = pytest.mark.browser

COUNT = 10_000
HALF = 0.015
"""Of the interval of a score."""
HOSTILE = "<img src=x onerror=alert(1)>"
SPEC = StudySpec.model_validate(
    {
        "name": "large",
        "teacher": "built-in",
        "task": {"dataset": "docstrings"},
        "search_space": {
            "layers": {"low": 1, "high": 12},
            "hidden_size": {"low": 64, "high": 512, "step": 64},
            "heads": [1, 2, 4, 8],
            "head_size": 32,
            "ffn_size": {"low": 64, "high": 2048, "step": 64},
        },
        "constraints": ["latency_p50 <= 20 ms"],
        "target": {"batch": 8, "length": 32, "threads": 1},
        "budget": {"trials": 100_000, "finalists": 3},
        "strategy": "sobol",
    }
)
CREATED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
TEACHER = Architecture(vocabulary_size=2000, layers=12, hidden_size=512, heads=8, head_size=64, ffn_size=2048)


def architectures(count: int) -> list[Architecture]:
    """So many different ones of the space, in the same order every time."""
    shapes = [
        (layers, hidden, heads, ffn)
        for layers in range(1, 13)
        for hidden in range(64, 513, 64)
        for heads in (1, 2, 4, 8)
        for ffn in range(64, 2049, 64)
    ]
    chosen = random.Random(0).sample(shapes, count)
    return [
        Architecture(vocabulary_size=2000, layers=layers, hidden_size=hidden, heads=heads, head_size=32, ffn_size=ffn)
        for layers, hidden, heads, ffn in chosen
    ]


def latency_s(shape: Architecture) -> float:
    return 4e-4 + 1e-9 * (parameter_count(shape) - 2000 * shape.hidden_size)


def quality(shape: Architecture, noise: float) -> float:
    body = parameter_count(shape) - 2000 * shape.hidden_size
    return 0.9 - 0.25 * math.exp(-shape.hidden_size / 120) - 0.2 * math.exp(-body / 2e6) + noise


def write_study(
    home: Path,
    count: int = COUNT,
    *,
    spec: StudySpec = SPEC,
    state: StudyState = StudyState.SEARCHING,
    changed: Callable[[dict[str, object]], dict[str, object]] = lambda row: row,
    before: int = 0,
) -> None:
    """The study with so many trials, as the service itself would have stored it.

    `changed` may change each trial's row; `before` trials of other studies are in the store.
    """
    prepared = Prepared.model_validate(
        {
            "data": "a" * 64,
            "teacher": "b" * 64,
            "architecture": TEACHER,
            "head": {"classes": 2},
            "classes": ("yes", "no"),
            "splits": {"train": 800, "selection": 100, "report": 100},
            "teacher_selection": score(0.905, HALF),
            "teacher_report": score(0.9, HALF),
            "baselines": {"TF-IDF": score(0.8, HALF)},
            "seconds": 12.0,
        }
    )
    with closing(Store(Settings(home=home, database_url=sqlite_url(home)).database_url)) as store, store.write() as uow:
        study = Study(
            name=spec.name,
            digest=spec.digest,
            spec=spec,
            state=state,
            created_at=CREATED,
            prepared=prepared,
            reference={"accuracy": 0.4, "latency_p50": 0.05},
            hardware_key="0" * 16,
        )
        assert uow.studies.add(study)
        uow.flush()
        teacher = MeasurementRow(
            study_id=study.id,
            trial_id=None,
            role=MeasurementRole.REFERENCE,
            name="teacher",
            measurement=measurement(spec.target, latency_s(TEACHER)),
            samples=120,
            samples_s=[],
            created_at=CREATED,
        )
        uow.studies.add_measurement(teacher)
        noise = random.Random(1)
        rows, measured, evaluated = [], [], []
        for number, shape in enumerate(architectures(count), start=1):
            row = changed({**trial_row(study.id, number, shape, noise), "id": before + number})
            rows.append(row)
            measured.append(measurement_row(study.id, row["id"], shape))
            if row["state"] is TrialState.COMPLETED:
                evaluated.append(evaluation_row(row["id"], row["metrics"]["accuracy"]))
        session = uow._session  # in bulk: one by one takes a minute
        session.execute(insert(Trial), rows)
        session.execute(insert(MeasurementRow), measured)
        if evaluated:
            session.execute(insert(Evaluation), evaluated)


def trial_row(study: int, number: int, shape: Architecture, noise: random.Random) -> dict[str, object]:
    p50_s = latency_s(shape)
    state = TrialState.INFEASIBLE if p50_s > SPEC.constraints[0].bound else TrialState.COMPLETED
    if number % 97 == 0:
        state = TrialState.FAILED
    metrics = {
        "latency_p50": p50_s,
        "latency_p90": 1.08 * p50_s,
        "latency_p99": 1.3 * p50_s,
        "parameters": float(parameter_count(shape)),
    }
    if state is TrialState.COMPLETED:
        metrics["accuracy"] = round(quality(shape, noise.gauss(0, 0.004)), 6)
    return {
        "id": number,
        "study_id": study,
        "number": number,
        "state": state,
        "architecture": shape,
        "architecture_key": shape.key,
        "origin": "baseline: half" if number == 1 else HOSTILE if number == 2 else "sobol",
        "created_at": CREATED + timedelta(seconds=60 * number),
        "ended_at": CREATED + timedelta(seconds=60 * number + 55),
        "metrics": {} if state is TrialState.FAILED else metrics,
        "variances": {"latency_p50": (0.01 * p50_s) ** 2, "parameters": 0.0, "accuracy": 1e-5},
        "predicted": {"accuracy": 0.8},
        "predicted_latency": None,
        "reason": HOSTILE if state is TrialState.FAILED else None,
        "early_stop": None,
    }


def measurement_row(study: int, trial: int, shape: Architecture) -> dict[str, object]:
    return {
        "study_id": study,
        "trial_id": trial,
        "role": MeasurementRole.TRIAL,
        "name": None,
        "measurement": measurement(SPEC.target, latency_s(shape)),
        "samples": 120,
        "samples_s": [],
        "created_at": CREATED,
    }


def evaluation_row(trial: int, value: float) -> dict[str, object]:
    return {
        "trial_id": trial,
        "fidelity": "flash",
        "selection": score(value, HALF),
        "report": None,
        "curve": (),
        "steps": 200,
        "seconds": 4.0,
        "weights": None,
        "created_at": CREATED,
    }


SEEN = """
window.seen = {};
const parts = {
  "best student": "#within-answer .headline",
  table: "#trials-table tr.trial",
  front: "#front-figure .points path.point",
};
new MutationObserver(() => {
  for (const [name, selector] of Object.entries(parts)) {
    if (!(name in seen) && document.querySelector(selector)) seen[name] = performance.now();
  }
}).observe(document, {subtree: true, childList: true});
"""
"""Remembers when each part of the page was there, in milliseconds since it was asked for."""


@pytest.fixture(scope="module")
def large(home: Path, address: str) -> str:
    """The address of the study's page."""
    write_study(home)
    return f"{address}/studies/{SPEC.name}"


@pytest.fixture
def page(large: str, watched) -> Iterator[Page]:
    """The page, drawn."""
    watched.page.goto(large)
    drawn(watched.page)
    yield watched.page
    assert watched.complaints == []


def drawn(page: Page) -> None:
    expect(page.locator("#front-figure .points path.point").first).to_be_visible(timeout=30_000)
    expect(page.locator("#trials-table tr.trial").first).to_be_visible(timeout=30_000)


def trials(**wanted: object) -> list[dict[str, object]]:
    """The trials as they were written, those whose fields are these."""
    noise = random.Random(1)
    rows = [trial_row(1, number, shape, noise) for number, shape in enumerate(architectures(COUNT), start=1)]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def best_within(bound_s: float) -> dict[str, object]:
    fitting = [row for row in trials(state=TrialState.COMPLETED) if row["metrics"]["latency_p50"] <= bound_s]
    return max(fitting, key=lambda row: (row["metrics"]["accuracy"], -row["metrics"]["latency_p50"]))


def test_first_paint_is_soon_and_the_page_is_light(large, watched, screenshots, capsys):
    page = watched.page
    sizes: dict[str, int] = {}
    page.on(
        "response", lambda response: sizes.update({response.url: len(response.body())}) if light(response) else None
    )
    page.add_init_script(SEEN)
    page.goto(large)
    drawn(page)
    seen_ms = page.evaluate("window.seen")
    seen_ms["first paint"] = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    with capsys.disabled():
        told = ", ".join(f"{name} {ms:.0f} ms" for name, ms in sorted(seen_ms.items(), key=lambda pair: pair[1]))
        print(f"\n{COUNT:,} trials: {told}")
    assert seen_ms["first paint"] <= 2000
    assert 50_000 < sum(sizes.values()) <= 200_000, sizes
    page.screenshot(path=screenshots / "large.png", full_page=True)
    assert watched.complaints == []


def light(response) -> bool:
    """Whether it is of the page itself: neither Plotly nor what is drawn."""
    path = urlsplit(response.url).path
    return response.status == 200 and not path.startswith(("/v1/", "/static/plotly"))


@pytest.mark.parametrize("bound_ms", [2, 4, 12.5])
def test_best_student_within_a_latency_is_told_at_once(page, bound_ms):
    field = page.get_by_role("textbox", name="p50 latency in ms")
    field.fill(f"{bound_ms} ms")
    field.press("Enter")
    best = best_within(bound_ms / 1e3)
    answer = page.locator("#within-answer")
    expect(answer.get_by_role("link")).to_have_text(f"trial {best['number']}", timeout=1000)
    expect(answer.get_by_role("link")).to_have_attribute("href", f"/studies/{SPEC.name}/trials/{best['number']}")
    expect(answer.locator(".headline")).to_contain_text(f"{best['metrics']['accuracy']:.3f}")
    expect(page.locator("#within-said")).to_contain_text(f"best is trial {best['number']},")
    expect(page).to_have_url(re.compile(rf"constraint=latency_p50\+%3C%3D\+{bound_ms:g}\+ms"))
    page.reload()
    drawn(page)
    expect(answer.get_by_role("link")).to_have_text(f"trial {best['number']}")


def test_slider_is_moved_by_keys_and_asks_for_any_metric(page):
    page.get_by_label("Metric of the bound").select_option("parameters")
    slider = page.get_by_role("slider", name="Bound on Parameters")
    slider.focus()
    page.keyboard.press("Home")
    fewest = min(trials(state=TrialState.COMPLETED), key=lambda row: row["metrics"]["parameters"])
    expect(page.locator("#within-answer").get_by_role("link")).to_have_text(f"trial {fewest['number']}")
    said = slider.get_attribute("aria-valuetext")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != said
    page.get_by_label("Metric of the bound").select_option("accuracy")
    expect(page.locator("#within-relation")).to_have_text("at least")
    page.get_by_role("slider", name="Bound on Accuracy").press("End")
    most = max(trials(state=TrialState.COMPLETED), key=lambda row: row["metrics"]["accuracy"])
    expect(page.locator("#within-answer").get_by_role("link")).to_have_text(f"trial {most['number']}")
    expect(page.locator("#within-answer .headline")).to_contain_text("ms")


def test_a_bound_that_cannot_be_read_is_said(page):
    field = page.get_by_role("textbox", name="p50 latency in ms")
    field.fill("quick")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#within-said")).to_contain_text("quick is no value of latency_p50")


def test_command_for_a_student_that_is_no_finalist_distils_its_architecture(page):
    field = page.get_by_role("textbox", name="p50 latency in ms")
    field.fill("4")
    field.press("Enter")
    page.get_by_text("How to have it").click()
    code = page.locator("#within-how pre code")
    expect(code).to_contain_text("stillhouse distill")
    text = code.inner_text()
    written = text.split("<<'END'\n", 1)[1].split("\nEND\n", 1)[0]
    spec = DistillationSpec.model_validate_json(json.dumps(yaml.safe_load(written)))
    wanted = best_within(4e-3)["architecture"]
    assert spec.architecture(TEACHER, pools_first_token=False) == replace(wanted, vocabulary_size=2000)
    assert text.endswith(f"stillhouse distill large-trial-{best_within(4e-3)['number']}.yaml")


def test_table_sorts_filters_and_turns_ten_thousand_trials(page, screenshots):
    rows = page.locator("#trials-table tr.trial")
    told = page.locator("#trials-told")
    expect(told).to_have_text("1 to 25 of 10,000 trials")
    assert rows.count() == 25
    expect(page.locator("#trial-2")).to_contain_text(HOSTILE)
    page.get_by_role("button", name="Last page").press("Enter")
    expect(told).to_have_text("9,976 to 10,000 of 10,000 trials")
    page.locator("#trials-table").get_by_role("button", name="Accuracy").click()
    completed = trials(state=TrialState.COMPLETED)
    best = max(completed, key=lambda row: row["metrics"]["accuracy"])
    expect(rows.first).to_have_attribute("data-number", str(best["number"]))
    expect(page).to_have_url(re.compile("sort=-accuracy"))
    page.get_by_label("Filter").fill("state:completed layers<=2 latency_p50<3ms")
    wanted = [row for row in completed if row["architecture"].layers <= 2 and row["metrics"]["latency_p50"] < 3e-3]
    expect(told).to_have_text(f"1 to 25 of {len(wanted):,} of 10,000 trials")
    best = max(wanted, key=lambda row: row["metrics"]["accuracy"])
    expect(rows.first).to_have_attribute("data-number", str(best["number"]))
    page.locator(f"#trial-{best['number']}").get_by_role("button").press("Enter")
    expect(page.locator(f"#detail-{best['number']}").get_by_role("link")).to_have_attribute(
        "href", f"/studies/{SPEC.name}/trials/{best['number']}"
    )
    page.get_by_label("Filter").fill("warmth<=2")
    expect(told).to_contain_text("there is no warmth; there are")
    page.get_by_label("Filter").fill("nothing-like-that")
    expect(told).to_have_text("None of 10,000 trials")


def test_axes_scale_and_colour_are_chosen_and_kept_in_the_address(page, screenshots):
    controls = page.locator("#front-controls")
    controls.get_by_label("Across").select_option("parameters")
    controls.get_by_label("log").first.check()
    controls.get_by_label("Colour").select_option("latency_p50")
    layout = "document.getElementById('front-figure').layout"
    expect(page.locator("#front-figure .colorbar")).to_be_visible()
    assert page.evaluate(f"{layout}.xaxis.type") == "log"
    expect(page.locator("#front-caption")).to_contain_text("Accuracy against Parameters")
    expect(page.locator("#front-legend")).to_contain_text("coloured by p50 latency")
    expect(page).to_have_url(re.compile("x=parameters&colour=latency_p50&log-x=1"))
    page.screenshot(path=screenshots / "large-colour.png")
    page.reload()
    drawn(page)
    assert page.evaluate(f"{layout}.xaxis.type") == "log"
    expect(controls.get_by_label("Across")).to_have_value("parameters")


def test_front_of_the_chosen_axes_is_the_true_one(page):
    page.locator("#front-controls").get_by_label("Across").select_option("parameters")
    expect(page.locator("#front-caption")).to_contain_text("Parameters")
    expected, best = [], -math.inf
    completed = trials(state=TrialState.COMPLETED)
    for row in sorted(completed, key=lambda one: (one["metrics"]["parameters"], -one["metrics"]["accuracy"])):
        if row["metrics"]["accuracy"] > best:
            best = row["metrics"]["accuracy"]
            expected.append(row["number"])
    shown = page.evaluate(
        "document.getElementById('front-figure').data.find((trace) => trace.uid === 'front').customdata"
    )
    assert sorted(shown) == sorted(expected)


def test_nothing_serious_for_assistive_technology(page, serious):
    page.locator("#parallel-figure canvas").wait_for()
    assert serious(page) == []
