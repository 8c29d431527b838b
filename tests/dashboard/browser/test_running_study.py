"""The page of a study that runs."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from protocol.jobs import Progress, Renewal
from protocol.views import StudyState, TrialState

pytestmark = pytest.mark.browser

POINTS = "#front-figure .points path.point"
SCORED = """number => document.getElementById("front-figure").data
    .some((trace) => trace.yaxis !== "y2" && trace.customdata?.includes(number))"""
"""Whether the front's figure has a point with a score for this trial."""


def test_page_follows_a_running_study_without_reload(worker, watched, address, screenshots):
    page = watched.page
    page.goto(f"{address}/studies/{worker.spec.name}")
    expect(page.locator("#state")).to_have_text("preparing")
    expect(page.locator("#remaining")).to_have_text("not known yet")
    expect(page.locator("#link")).to_have_text("live")
    page.evaluate("window.sameDocument = true")

    worker.work_until(lambda: worker.ended() >= 8 and len(worker.trained) >= 5)
    expect(page.locator("#trials-table tr.trial").first).to_be_visible(timeout=5000)
    expect(page.locator(POINTS).first).to_be_visible(timeout=10_000)
    front = worker.client.studies.front(worker.spec.name)
    expect(page.locator("#front-size")).to_have_text(str(len(front.numbers)))
    assert page.locator(POINTS).count() >= len(front.numbers) + 2, "the front and the teacher on both splits"

    def completed() -> set[int]:
        trials = worker.client.studies.trials(worker.spec.name)
        return {trial.number for trial in trials if trial.state is TrialState.COMPLETED}

    expect(page.locator("#parallel-figure canvas")).to_be_visible(timeout=10_000)
    known = completed()
    worker.work_until(lambda: completed() > known)
    reported_s = time.monotonic()
    (number,) = completed() - known
    expect(page.locator(f"#trial-{number} .state")).to_have_text("completed", timeout=3000)
    expect(page.locator(f"#trial-{number} .quality")).to_have_text(re.compile(r"^0\.\d{3}$"), timeout=3000)
    while not page.evaluate(SCORED, number):  # Playwright's own waiting needs `eval`, which the page forbids
        assert time.monotonic() - reported_s < 3
    assert page.evaluate("window.sameDocument") is True

    grant = worker.lease()
    assert grant is not None
    worker.client.jobs.renew(
        grant.job, Renewal(attempt=grant.attempt, progress=Progress(stage=worker.hostile, done=3, total=9))
    )
    expect(page.locator("#doing")).to_contain_text(f"{worker.hostile} 3 of 9", timeout=3000)
    expect(page.locator(f"#trial-{worker.broken_trial} .reason")).to_contain_text(worker.hostile)
    page.screenshot(path=screenshots / "running.png", full_page=True)

    worker.answer(grant)
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    expect(page.locator("#state")).to_have_text("completed", timeout=5000)
    expect(page.locator("#link")).to_have_text("ended", timeout=15_000)
    expect(page.locator("#finalists-table tbody tr")).to_have_count(worker.spec.budget.finalists + 1)
    assert page.evaluate("window.sameDocument") is True
    assert watched.complaints == []


def test_page_says_that_the_service_is_gone(watched, address):
    page = watched.page
    page.goto(address)
    expect(page.locator("#link")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("#link")).to_contain_text("cannot be reached", timeout=5000)
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("live", timeout=10_000)
