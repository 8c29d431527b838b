"""Workers and devices."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from protocol.jobs import Progress, Renewal

pytestmark = pytest.mark.browser


@pytest.fixture
def busy(worker):
    """A job that somebody works on, and how far it is."""
    grant = worker.lease()
    assert grant is not None
    worker.client.jobs.renew(
        grant.job, Renewal(attempt=grant.attempt, progress=Progress(stage=worker.hostile, done=3, total=9))
    )
    yield grant
    worker.answer(grant)


def test_worker_is_shown_with_what_it_is_busy_with(worker, busy, watched, address):
    page = watched.page
    page.goto(f"{address}/workers")
    card = page.locator(".card")
    expect(card.locator("h2")).to_have_text(f"test {worker.hostile}")
    expect(card.locator(".job")).to_contain_text(f"prepare {worker.spec.name}: {worker.hostile} 3 of 9")
    expect(card.locator("[data-since]")).to_contain_text("for ")
    expect(card).to_contain_text("cpu/torch")
    expect(page.locator('[data-part="summary"]')).to_have_text("1 alive, 1 of them busy.")
    worker.client.jobs.renew(
        busy.job, Renewal(attempt=busy.attempt, progress=Progress(stage="almost there", done=8, total=9))
    )
    expect(card.locator(".job")).to_contain_text("almost there 8 of 9", timeout=3000)
    card.get_by_role("link", name=worker.spec.name).click()
    expect(page.locator("h1")).to_contain_text(worker.spec.name)
    assert watched.complaints == []


def test_workers_on_every_screen(busy, address, on_every_screen):
    on_every_screen("workers", f"{address}/workers", ".card .job")


def test_device_shows_what_it_is_and_what_its_calibration_is_worth(worker, calibrated, watched, address):
    page = watched.page
    page.goto(f"{address}/devices")
    card = page.locator(".device").filter(has_text=calibrated.hardware_key)
    expect(card).to_contain_text(f"learnt from {len(calibrated.rows)} measured architectures")
    expect(card).to_contain_text(f"errs by {calibrated.cross_validated.mape * 100:.1f} % on average")
    expect(card).to_contain_text("latency depends on the space")
    card.get_by_text("Predicted against measured").click()
    expect(card.locator("svg circle")).to_have_count(len(calibrated.rows))
    card.get_by_text("Environment").press("Enter")
    expect(card.locator(".environment dd").first).to_be_visible()
    assert watched.complaints == []


def test_devices_on_every_screen(calibrated, address, on_every_screen):
    def prepare(page):
        page.get_by_text("Predicted against measured").first.click()
        page.locator("svg circle").first.wait_for()

    on_every_screen("devices", f"{address}/devices", ".device dl", prepare)


def test_predicted_latencies_are_in_the_preview(worker, calibrated, watched, address):
    page = watched.page
    page.goto(f"{address}/new")
    page.get_by_label("Batch", exact=True).fill(str(worker.spec.target.batch))
    page.get_by_label("Length in tokens").fill(str(worker.spec.target.length))
    page.get_by_label("Space", exact=True).select_option("")
    for label, text in (
        ("Layers", "1-4"),
        ("Hidden size", "48-192 step 48"),
        ("Heads", "1, 2, 3"),
        ("Head size", "32"),
    ):
        page.get_by_label(label).fill(text)
    page.get_by_label("Feed-forward").fill("96-768 step 96")
    expect(page.locator('[data-part="space"]')).to_contain_text("predicted, the middle one")
    expect(page.locator('[data-part="space"]')).to_contain_text(f"on hardware {calibrated.hardware_key}")
    assert watched.complaints == []
