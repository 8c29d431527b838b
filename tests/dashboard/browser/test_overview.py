"""The overview of more studies than one page of it shows."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

MANY = 59
"""Beside the one that the worker has: a page and ten."""


@pytest.fixture(scope="module")
def many(worker):
    for number in range(1, MANY + 1):
        worker.client.studies.create(worker.spec.model_copy(update={"name": f"night-{number:02}"}))
    worker.client.studies.get("night-03").stop()
    return worker


def test_overview_is_turned_and_filtered(many, watched, address, serious, screenshots):
    page = watched.page
    page.goto(address)
    names, told = page.locator("#studies tbody a"), page.locator("#studies-told")
    expect(told).to_have_text("Studies 1 to 50, the newest first")
    expect(names).to_have_count(50)
    page.get_by_role("button", name="Older studies").press("Enter")
    expect(told).to_have_text("Studies 51 to 60 of 60, the newest first")
    assert names.all_inner_texts()[-1] == many.spec.name
    expect(page.get_by_role("button", name="Older studies")).to_be_disabled()
    page.get_by_role("button", name="Newer studies").press("Enter")
    expect(names).to_have_count(50)
    page.get_by_label("Name").fill("night-0")
    expect(names).to_have_count(9)
    page.get_by_label("State").select_option("stopped")
    expect(names).to_have_text(["night-03"])
    expect(told).to_have_text("1 stopped")
    page.get_by_label("Name").fill("<b>")
    expect(told).to_have_text("There is no such study.")
    expect(page.locator("#empty")).to_be_hidden()
    assert serious(page) == []
    page.get_by_label("Name").fill("")
    page.get_by_label("State").select_option("")
    expect(names).to_have_count(50)
    page.screenshot(path=screenshots / "many.png")
    assert watched.complaints == []
