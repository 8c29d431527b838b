"""Studies that are hard to show: one trial, almost none or none within the bounds, and a browser without scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cli.reporting import report
from protocol.study import Constraint, StudySpec
from protocol.views import StudyState, TrialState
from tests.dashboard.browser.test_large_study import SPEC, write_study

pytestmark = pytest.mark.browser

TICKS = "[...document.querySelectorAll('#{figure} .{axis}tick text')].map((label) => label.textContent)"
LAYOUT = "document.getElementById('front-figure').layout"


def bounded(name: str, bound_s: float) -> StudySpec:
    return SPEC.model_copy(update={"name": name, "constraints": (Constraint(metric="latency_p50", bound=bound_s),)})


def only_within(bound_s: float):
    """Trials of one study: completed within the bound, else infeasible."""

    def changed(row: dict) -> dict:
        p50_s = row["metrics"].get("latency_p50")
        if p50_s is None or p50_s <= bound_s:
            return row
        metrics = {name: value for name, value in row["metrics"].items() if name != "accuracy"}
        return {**row, "state": TrialState.INFEASIBLE, "metrics": metrics}

    return changed


@pytest.fixture(scope="module")
def studies(address: str, home: Path) -> str:
    """The address of the studies' pages."""
    single = bounded("single", 20e-3).model_copy(update={"baselines": {}})
    write_study(home, 1, spec=single, changed=lambda row: {**row, "origin": "sobol"})
    write_study(home, 200, spec=bounded("narrow", 1e-3), changed=only_within(1e-3), before=10)
    outside = bounded("outside", 1e-4)
    write_study(home, 40, spec=outside, state=StudyState.FAILED, changed=only_within(1e-4), before=1000)
    return f"{address}/studies"


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#front-figure .main-svg").first).to_be_visible(timeout=30_000)
    return page


def test_the_only_trial_is_the_best_one(studies, watched, screenshots):
    page = opened(watched.page, f"{studies}/single")
    expect(page.locator("#within-answer").get_by_role("link")).to_have_text("trial 1")
    expect(page.locator("#front-summary")).to_have_text("The only completed trial is the front.")
    page.locator("#hypervolume-figure").scroll_into_view_if_needed()
    expect(page.locator("#hypervolume-figure .xtick text").first).to_be_visible()
    labels = page.evaluate(TICKS.format(figure="hypervolume-figure", axis="x"))
    assert len(labels) == len(set(labels)), labels
    page.screenshot(path=screenshots / "single.png", full_page=True)
    assert watched.complaints == []


@pytest.mark.parametrize("end", ["Home", "End"])
def test_an_end_of_the_slider_has_an_answer_that_the_address_keeps(studies, watched, end):
    page = opened(watched.page, f"{studies}/narrow")
    page.get_by_role("slider", name="Bound on p50 latency").press(end)
    found = page.locator("#within-answer").get_by_role("link")
    expect(found).to_be_visible()
    number = found.inner_text()
    expect(page).to_have_url(re.compile("constraint=latency_p50"))
    page.reload()
    expect(found).to_have_text(number)
    field = page.get_by_role("textbox", name="p50 latency in ms")
    field.press("Enter")  # what is written there is a little less than what it stands for
    expect(found).to_have_text(number)


def test_students_far_from_the_teacher_are_not_squeezed(studies, watched, screenshots):
    page = opened(watched.page, f"{studies}/narrow")
    log = page.locator("#front-controls").get_by_label("log").first
    expect(log).to_be_checked()
    assert page.evaluate(f"{LAYOUT}.xaxis.type") == "log"
    page.screenshot(path=screenshots / "narrow.png", full_page=True)
    page.locator("#front-controls").get_by_label("uncertainty").uncheck()
    expect(page).to_have_url(re.compile(r"narrow\?bars=0$"))
    expect(log).to_be_checked()
    log.uncheck()
    expect(page).to_have_url(re.compile("log-x=0"))
    opened(page, page.url)
    expect(log).not_to_be_checked()
    assert page.evaluate(f"{LAYOUT}.xaxis.type") != "log"
    assert watched.complaints == []


def test_study_whose_every_trial_is_out_of_bounds_says_so(studies, watched, screenshots):
    page = opened(watched.page, f"{studies}/outside")
    expect(page.locator("#front-summary")).to_have_text(
        "No trial was completed; 40 infeasible. The table of trials says why."
    )
    labels = page.evaluate(TICKS.format(figure="front-figure", axis="y"))
    assert len(labels) == len(set(labels)) > 1, labels
    page.screenshot(path=screenshots / "outside.png", full_page=True)
    assert watched.complaints == []


@pytest.mark.parametrize("path", ["", "/narrow", "/narrow/trials/1", "/narrow/compare?trials=1,2"])
def test_without_scripts_the_page_says_what_is_missing(studies, browser, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{studies}{path}" if path else studies.removesuffix("studies"))
    expect(page.locator("noscript p")).to_contain_text("needs JavaScript")
    expect(page.locator("noscript p")).to_be_visible()
    context.close()


def test_report_is_whole_on_paper_and_without_network(studies, address, browser, tmp_path, screenshots):
    file = tmp_path / "narrow.html"
    report(address, "narrow", file, as_json=True)
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    seen = "(part) => part.checkVisibility({contentVisibilityAuto: true})"
    hidden = f"[...document.querySelectorAll('details > :not(summary)')].filter((part) => !({seen})(part)).length"
    assert page.evaluate(hidden) == 3, "every trial, the recipe and the study are folded on screen"
    page.emulate_media(media="print")
    page.screenshot(path=screenshots / "report.png", full_page=True)  # as it is drawn for paper
    assert page.evaluate(hidden) == 0
    assert asked == [file.as_uri()]
    context.close()
