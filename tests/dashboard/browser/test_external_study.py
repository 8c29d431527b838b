"""A study that somebody else evaluates: the pages speak of its own metrics, and of nothing that it does not have."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from protocol.study import StudySpec

pytestmark = pytest.mark.browser

SPEC = StudySpec.model_validate(
    {
        "name": "on-the-chip",
        "external": True,
        "search_space": {"layers": [2, 4, 6], "hidden_size": [128, 256], "heads": 4, "ffn_size": [256, 512, 1024]},
        "objectives": {"f1_dev": "maximize", "energy_mj": "minimize"},
        "constraints": ["energy_mj <= 500"],
        "budget": {"trials": 6, "parallel": 2},
        "strategy": "sobol",
    }
)
FOREIGN = re.compile("accuracy|teacher|flash|distil|split|speed-up", re.IGNORECASE)


@pytest.fixture(scope="module")
def told(worker):
    """The study with all but its last trials told."""
    worker.client.studies.create(SPEC)
    number = 0
    while number < 4:
        worker.suggester.step()
        for grant in worker.client.external.ask(SPEC.name, count=2).trials:
            number += 1
            metrics = {"f1_dev": 0.5 + 0.1 * number, "energy_mj": 150.0 * number}
            worker.client.external.tell(grant, metrics, variances={"energy_mj": 4.0})
    return worker


def test_study_is_shown_by_what_it_judges(told, watched, address, serious, screenshots):
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}")
    expect(page.locator("#front-figure .points path.point").first).to_be_visible(timeout=10_000)
    expect(page.locator(".lede")).to_contain_text(
        "Wanted: the most f1_dev and the least energy_mj, with energy_mj at most"
    )
    heads = page.locator("#trials-table th").all_inner_texts()
    assert [head.strip() for head in heads[4:]] == ["f1_dev", "energy_mj", "Parameters"]
    expect(page.locator("#trial-4")).to_contain_text("energy_mj 600.0 breaks <= 500.0")
    expect(page.locator("#within-answer")).to_contain_text("energy_mj")
    page.locator("#trial-1 button.open").press("Enter")
    expect(page.locator("#detail-1")).to_contain_text("As told")
    assert FOREIGN.findall(page.locator("main").inner_text()) == []
    assert serious(page) == []
    page.screenshot(path=screenshots / "external.png", full_page=True)
    page.goto(address)
    expect(page.locator(f'[data-name="{SPEC.name}"]')).to_contain_text("evaluated elsewhere: f1_dev, energy_mj")
    assert watched.complaints == []


@pytest.mark.parametrize("path", ["trials/1", "compare?trials=1,2,3"])
def test_trials_are_shown_by_what_was_told_of_them(told, watched, address, path):
    page = watched.page
    page.goto(f"{address}/studies/{SPEC.name}/{path}")
    expect(page.locator("main")).to_contain_text("0.6000")
    expect(page.locator("main")).to_contain_text("150.0")
    assert FOREIGN.findall(page.locator("main").inner_text()) == []
    assert watched.complaints == []
