"""The page of one trial."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from protocol.views import TrialState

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(finished, watched, address):
    """Opens the page of the trial of this number."""

    def open_trial(number):
        watched.page.goto(f"{address}/studies/{finished.spec.name}/trials/{number}")
        expect(watched.page.locator("#link")).to_have_text("ended")
        return watched.page

    yield open_trial
    assert watched.complaints == []


def test_finalist_shows_all_that_is_known_of_it(opened, finalist):
    page = opened(finalist.number)
    expect(page.locator("h1")).to_contain_text(f"Trial {finalist.number}")
    expect(page.locator('[data-part="facts"]')).to_contain_text(f"{finalist.metrics['accuracy']:.3f}")
    expect(page.locator('[data-part="finalist"]')).to_contain_text(f"{finalist.finalist.evaluation.report.value:.3f}")
    expect(page.locator('[data-part="recipe"]')).to_contain_text("logits by kl, weight 1, temperature 2")
    expect(page.locator('[data-part="provenance"]')).to_contain_text("torch <b>2</b>")
    expect(page.locator('[data-part="provenance"]')).to_contain_text("from a cache")
    curve = page.locator('[data-part="curve"] svg')
    expect(curve).to_contain_text("teacher 0.748")
    assert curve.locator("circle").count() == len(finalist.evaluation.curve) + len(finalist.finalist.evaluation.curve)


def test_architecture_is_drawn_to_scale_over_its_teacher(opened, finalist, finished):
    page = opened(finalist.number)
    shape, teacher = finalist.architecture, finished.study().prepared.architecture
    drawing = page.locator('[data-part="architecture"] svg')
    assert drawing.locator("rect.heads").count() == shape.layers * shape.heads_by_layer[0]
    assert drawing.locator("rect.ffn").count() == shape.layers
    assert drawing.locator("rect.shadow").count() == 2 * teacher.layers

    def width(kind):
        return float(drawing.locator(f"rect.{kind}").first.get_attribute("width"))

    unit = width("stream") / shape.hidden_size
    assert width("ffn") == pytest.approx(shape.ffn_sizes_by_layer[0] * unit, rel=1e-3)
    assert float(drawing.locator("rect.shadow").nth(1).get_attribute("width")) == pytest.approx(
        teacher.ffn_sizes_by_layer[0] * unit, rel=1e-3
    )


def test_assistant_that_was_chosen_stands_out_of_its_curve(opened, finalist):
    page = opened(finalist.number)
    part = page.locator('[data-part="assistants"]')
    expect(part).to_contain_text("keeps 50 % of the teacher’s blocks")
    expect(part.locator(".chosen-dot title")).to_have_text(re.compile(r"sparsity 0\.5: t\(s\) 0\.840"))
    assert part.locator("circle").count() == 4


def test_every_file_of_the_export_is_told_with_its_size_and_can_be_had(opened, finalist):
    page = opened(finalist.number)
    files = page.locator('[data-part="files"]')
    expect(files).to_contain_text("1.23 MB")
    expect(files.locator("tbody tr")).to_have_count(4)
    expect(files.get_by_role("link", name="flash student’s weights")).to_be_visible()
    with page.expect_download() as download:
        files.get_by_role("link", name="model.safetensors").click()
    assert download.value.suggested_filename == "model.safetensors"
    assert download.value.path().stat().st_size == 1_234_567


def test_lines_that_load_it_are_copied(opened, finalist, finished):
    folder = finished.home / "exports" / finished.spec.name / f"trial-{finalist.number}"
    folder.mkdir(parents=True)
    page = opened(finalist.number)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    load = page.locator('[data-part="load"]')
    load.get_by_role("button", name="copy").press("Enter")
    expect(load.get_by_role("button", name="copied")).to_be_visible()
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert len(lines) == 3
    assert str(folder) in lines[1]
    folder.rmdir()


def test_trial_that_failed_says_why_and_hides_what_it_has_not(opened, finished):
    page = opened(finished.broken_trial)
    expect(page.locator('[data-part="reason"]')).to_contain_text(finished.hostile)
    expect(page.locator('[data-part="state"]')).to_have_text("failed")
    for part in ("curve", "latency", "finalist", "load", "assistants", "provenance", "early-stop"):
        expect(page.locator(f'section:has([data-part="{part}"])')).to_be_hidden()


def test_infeasible_trial_was_measured_and_never_trained(opened, trials):
    number = next(trial.number for trial in trials if trial.state is TrialState.INFEASIBLE)
    page = opened(number)
    expect(page.locator('[data-part="reason"]')).to_contain_text("latency_p50")
    expect(page.locator('[data-part="latency"]')).to_contain_text("p99")
    expect(page.locator('section:has([data-part="curve"])')).to_be_hidden()


def test_keys_lead_from_trial_to_trial(opened, finished):
    page = opened(2)
    page.get_by_role("link", name="trial 3").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Trial 3")
    page.get_by_role("link", name=finished.spec.name).click()
    expect(page.locator("#state")).to_have_text("completed")


def test_trial_page_on_every_screen(finished, finalist, address, on_every_screen):
    on_every_screen(
        "trial", f"{address}/studies/{finished.spec.name}/trials/{finalist.number}", '[data-part="provenance"] dl'
    )


def test_unknown_trial_is_a_friendly_page(finished, address, on_every_screen):
    url = f"{address}/studies/{finished.spec.name}/trials/99"
    on_every_screen("missing-trial", url, "h1:has-text('No such trial')", allowed="404")
