"""Pages of a service that nobody works for yet."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def page(watched):
    yield watched.page
    assert watched.complaints == []


def test_nobody_works(page, address, on_every_screen):
    page.goto(f"{address}/workers")
    expect(page.locator('[data-part="none"]')).to_contain_text("stillhouse worker")
    on_every_screen("no-workers", f"{address}/workers", '[data-part="none"]')


def test_no_machine_is_known(page, address, on_every_screen):
    page.goto(f"{address}/devices")
    expect(page.locator('[data-part="none"]')).to_contain_text("stillhouse calibrate")
    on_every_screen("no-devices", f"{address}/devices", '[data-part="none"]')


def test_study_without_trials_has_nothing_to_compare(page, address, request):
    spec = request.getfixturevalue("worker").spec
    page.goto(f"{address}/studies/{spec.name}/compare")
    expect(page.locator("#hint")).to_have_text("Name at least two trials.")
    expect(page.locator('[data-part="offered"]')).to_be_hidden()
    page.locator("#numbers").fill("1, 2")
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_have_text("The study has no trial 1, 2. Name at least two trials.")


def test_pages_lead_to_each_other(page, address):
    page.goto(address)
    places = page.get_by_role("navigation", name="Pages")
    for title, heading in (
        ("Workers", "Workers"),
        ("Devices", "Devices"),
        ("New study", "New study"),
        ("Studies", "Studies"),
    ):
        places.get_by_role("link", name=title, exact=True).click()
        expect(page.locator("h1")).to_have_text(heading)
        expect(places.locator('[aria-current="page"]')).to_have_text(title)


def test_pages_say_when_the_service_is_gone(page, address, watched):
    page.goto(f"{address}/workers")
    expect(page.locator("#link")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("#link")).to_contain_text("cannot be reached", timeout=10_000)
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("live", timeout=10_000)
    watched.complaints.clear()  # the browser's own lines about requests that failed
