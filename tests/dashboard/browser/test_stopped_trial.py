"""The page of a study in which a trial was stopped early."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from protocol.jobs import Command, JobKind, Progress, Renewal, Report, Stopped

pytestmark = pytest.mark.browser

NAME = "stopped-early"
COMPLETED = 8


@pytest.fixture
def stopped(worker, watched, address):
    """The trial that was stopped, and the page."""
    spec = worker.spec.model_copy(update={"name": NAME, "early_stopping": True})
    worker.client.studies.create(spec)
    while True:
        grant = worker.lease()
        completed = worker.client.studies.view(NAME).trials.get("completed", 0)
        if grant.study == NAME and grant.work.kind is JobKind.DISTILL and completed >= COMPLETED:
            points = worker._result(grant).curve[:4]
            low = tuple(point.model_copy(update={"value": 0.5 * point.value}) for point in points)
            worker.client.jobs.renew(grant.job, Renewal(attempt=grant.attempt, curve=low))
            worker.suggester.step()
            renewed = worker.client.jobs.renew(grant.job, Renewal(attempt=grant.attempt))
            if renewed.command is Command.STOP:
                break
        worker.answer(grant)
    halfway = Progress(stage="distilling", done=points[-1].step, total=grant.work.steps)
    worker.client.jobs.report(grant.job, Report(attempt=grant.attempt, result=Stopped(progress=halfway)))
    watched.page.goto(f"{address}/studies/{NAME}")
    yield worker.client.studies.trial(NAME, grant.trial), watched.page
    assert watched.complaints == []


def test_why_a_trial_was_stopped_and_what_that_saved_is_on_the_page(stopped, screenshots):
    trial, page = stopped
    row = page.locator("#trials-table tr.trial").filter(has_text="at best in the end")
    expect(row).to_contain_text("stopped")
    expect(page.locator("#trials-aside")).to_contain_text("1 stopped")
    expect(page.locator("#trials-aside")).to_contain_text("steps saved")
    row.locator("button.open").click()
    detail = page.locator(".detail-grid").filter(has_text="Early stop")
    expect(detail).to_be_visible()
    expect(detail).to_contain_text(f"trial {trial.early_stop.dominated_by}")
    page.screenshot(path=screenshots / "stopped.png", full_page=True)
