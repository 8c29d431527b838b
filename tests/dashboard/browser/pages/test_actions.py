"""What may be done to a study from its page: stopped, resumed, extended, downloaded, deleted."""

from __future__ import annotations

import csv
import json

import pytest
from playwright.sync_api import expect

from protocol.views import StudyState

pytestmark = pytest.mark.browser


@pytest.fixture
def actions(worker, watched, address):
    """The actions on the page of the study."""
    watched.page.goto(f"{address}/studies/{worker.spec.name}")
    found = watched.page.locator("[data-actions]")
    expect(found.get_by_role("button").first).to_be_visible()
    yield found
    assert watched.complaints == []


def test_running_study_is_stopped_and_resumed(worker, actions):
    page = actions.page
    worker.work_until(lambda: worker.ended() >= 4)
    expect(actions.get_by_role("button", name="Delete")).to_have_count(0)
    actions.get_by_role("button", name="Stop").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Stop {worker.spec.name}?")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(actions.get_by_role("button", name="Stop")).to_be_focused()
    actions.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop the study").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#state")).to_have_text("stopped")
    assert worker.study().state is StudyState.STOPPED
    actions.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_have_text("searching")
    assert worker.study().state is StudyState.SEARCHING


def test_study_is_extended_to_new_totals(worker, actions):
    before = worker.study().spec.budget
    actions.get_by_role("button", name="Extend").click()
    dialog = actions.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Extend").click()
    expect(dialog.get_by_role("alert")).to_have_text("Raise at least one of them.")
    dialog.get_by_label("Trials in all").fill(str(before.trials + 2))
    dialog.get_by_role("button", name="Extend").click()
    expect(dialog).to_have_count(0)
    after = worker.study().spec.budget
    assert (after.trials, after.finalists) == (before.trials + 2, before.finalists)
    expect(actions.page.locator("#trials-count")).to_contain_text(f"of {before.trials + 2}")


def test_what_the_service_refuses_is_said_in_the_dialog(worker, watched, address):
    page = watched.page
    page.goto(f"{address}/studies/{worker.spec.name}")
    page.locator("[data-actions]").get_by_role("button", name="Extend").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Trials in all").fill("1")
    dialog.get_by_role("button", name="Extend").click()
    expect(dialog.get_by_role("alert")).to_contain_text("trials")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_trials_are_downloaded(worker, actions):
    worker.work_until(lambda: worker.ended() >= 4)
    count = len(worker.client.studies.trials(worker.spec.name))
    for title, read in (
        ("Trials as CSV", lambda text: list(csv.DictReader(text.splitlines()))),
        ("Trials as JSON", json.loads),
    ):
        actions.locator("summary").press("Enter")
        with actions.page.expect_download() as download:
            actions.get_by_role("link", name=title).click()
        assert len(read(download.value.path().read_text())) == count
        actions.page.keyboard.press("Escape")
        expect(actions.get_by_role("link", name=title)).to_be_hidden()


def test_dialog_on_every_screen(worker, address, on_every_screen):
    def prepare(page):
        page.locator("[data-actions]").get_by_role("button", name="Extend").click()

    on_every_screen("extend", f"{address}/studies/{worker.spec.name}", "[data-actions] button", prepare)


def test_ended_study_is_deleted_after_a_question(worker, actions, address):
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    page = actions.page
    actions.get_by_role("button", name="Delete").click(timeout=10_000)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be undone")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(page).to_have_url(f"{address}/")
    assert [study.name for study in worker.client.studies.list()] == []
