"""Studies with nothing to show, and how soon the page shows what there is."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from protocol.jobs import Failure, FailureReason, JobKind, Report
from protocol.views import StudyState

pytestmark = pytest.mark.browser


def create(worker, name: str, **changes: object) -> None:
    worker.client.studies.create(worker.spec.model_copy(update={"name": name, **changes}))


def fail_all(worker, name: str) -> None:
    """Every trial of the study fails; other studies go on."""
    while worker.client.studies.view(name).state is not StudyState.FAILED:
        grant = worker.lease()
        assert grant is not None
        if grant.study == name and grant.work.kind is JobKind.MEASURE:
            broken = Failure(reason=FailureReason.INVALID, message=worker.hostile)
            worker.client.jobs.report(grant.job, Report(attempt=grant.attempt, result=broken))
        else:
            worker.answer(grant)


def test_study_without_a_trial_says_so(worker, watched, address, serious, screenshots):
    create(worker, "nothing-yet")
    page = watched.page
    page.goto(f"{address}/studies/nothing-yet")
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#front-figure")).to_have_text("Nothing to draw yet.")
    expect(page.locator("#trials-table")).to_have_text("No trial yet.")
    expect(page.locator("#importance")).to_have_text("Too few trials to say.")
    expect(page.locator("#within")).to_be_hidden()
    assert serious(page) == []
    page.screenshot(path=screenshots / "nothing.png", full_page=True)
    assert watched.complaints == []


def test_study_with_only_failures_says_why(worker, watched, address, serious, screenshots):
    create(worker, "only-failures", baselines={})
    fail_all(worker, "only-failures")
    page = watched.page
    page.goto(f"{address}/studies/only-failures")
    expect(page.locator("#error")).to_be_visible()
    failed = worker.client.studies.view("only-failures").trials["failed"]
    expect(page.locator("#front-summary")).to_contain_text(f"No trial was completed; {failed} failed.")
    expect(page.locator("#trial-1 .reason")).to_contain_text(worker.hostile)
    expect(page.locator("#within")).to_be_hidden()
    assert serious(page) == []
    page.screenshot(path=screenshots / "failures.png", full_page=True)
    assert watched.complaints == []


def test_what_happens_is_seen_within_a_second(worker, watched, address):
    create(worker, "followed")
    page = watched.page
    page.goto(f"{address}/studies/followed")
    expect(page.locator("#state")).to_have_text("preparing")
    expect(page.locator("#link")).to_have_text("live")
    while (grant := worker.lease()) is not None and grant.study != "followed":
        worker.answer(grant)
    worker.answer(grant)
    reported_s = time.monotonic()
    expect(page.locator("#state")).to_have_text("calibrating", timeout=1000)
    assert time.monotonic() - reported_s < 1
    assert watched.complaints == []


def test_page_without_events_asks_by_itself(worker, watched, address):
    create(worker, "asked")
    page = watched.page
    page.route("**/events", lambda route: route.abort())
    page.goto(f"{address}/studies/asked")
    expect(page.locator("#state")).to_have_text("preparing")
    while worker.client.studies.view("asked").state is StudyState.PREPARING:
        grant = worker.lease()
        assert grant is not None
        worker.answer(grant)
    expect(page.locator("#state")).not_to_have_text("preparing", timeout=4000)
