"""Trials side by side."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def comparing(finished, watched, address):
    """Opens the comparison of these trials."""

    def compare(*numbers):
        wanted = ",".join(map(str, numbers))
        watched.page.goto(f"{address}/studies/{finished.spec.name}/compare?trials={wanted}")
        expect(watched.page.locator("#link")).to_have_text("ended")
        return watched.page

    yield compare
    assert watched.complaints == []


@pytest.fixture
def pair(trials):
    """Two completed trials of different latencies."""
    completed = [trial for trial in trials if trial.evaluation is not None]
    return min(completed, key=lambda trial: trial.latency.p50_s), max(completed, key=lambda trial: trial.latency.p50_s)


def test_what_differs_is_marked_and_the_best_of_it_said(comparing, pair):
    fast, slow = pair
    page = comparing(fast.number, slow.number)
    row = page.locator(".comparison tr", has=page.locator("th", has_text="latency p50"))
    expect(row).to_have_class("differs")
    expect(row.locator("td.best")).to_contain_text("(best)")
    assert row.locator("td").first.get_attribute("class") == "best"
    same = page.locator(".comparison tr", has=page.locator("th", has_text="hardware key"))
    expect(same).to_have_class("same")
    page.get_by_label("only what differs").check()
    expect(same).to_be_hidden()
    expect(row).to_be_visible()


def test_drawings_are_of_one_scale(comparing, pair):
    fast, slow = pair
    page = comparing(fast.number, slow.number)
    shapes = page.locator('[data-part="shapes"] svg')
    expect(shapes).to_have_count(2)
    units = [
        float(shapes.nth(place).locator("rect.stream").get_attribute("width")) / trial.architecture.hidden_size
        for place, trial in enumerate(pair)
    ]
    assert units[0] == pytest.approx(units[1], rel=1e-3)


def test_trials_are_chosen_by_number_and_from_the_front(comparing, finished):
    front = finished.client.studies.front(finished.spec.name).numbers
    page = comparing()
    expect(page.locator("#hint")).to_have_text("Name at least two trials.")
    for number in front[:2]:
        page.get_by_role("button", name=f"trial {number}", exact=True).press("Enter")
    expect(page.locator(".comparison thead th")).to_have_count(2)
    assert page.url.endswith(f"?trials={front[0]},{front[1]}")
    page.locator("#numbers").fill("1, 2, 3")
    page.keyboard.press("Enter")
    expect(page.locator(".comparison thead th")).to_have_count(3)


def test_what_cannot_be_compared_is_said(comparing):
    page = comparing(1, 99)
    expect(page.locator("#hint")).to_contain_text("The study has no trial 99. Name at least two trials.")
    page = comparing(1, 2, 3, 4, 6, 7)
    expect(page.locator("#hint")).to_contain_text("At most 5")
    expect(page.locator(".comparison thead th")).to_have_count(5)


def test_comparison_on_every_screen(finished, pair, address, on_every_screen):
    numbers = ",".join(str(trial.number) for trial in pair)
    on_every_screen("compare", f"{address}/studies/{finished.spec.name}/compare?trials={numbers}", ".comparison")
