"""A new study by form."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from protocol.study_file import parse_study

pytestmark = pytest.mark.browser

STANDING = '[data-part="standing"]'
YAML = '[data-part="yaml"]'


@pytest.fixture
def form(worker, watched, address):
    """The page of the form, when it has counted the space of its defaults."""
    watched.page.goto(f"{address}/new")
    expect(watched.page.locator(STANDING)).to_contain_text("architectures of")
    yield watched.page
    # The browser itself notes what the service refused, which these tests make it do; nothing else is noted.
    assert [text for text in watched.complaints if not re.search(r"status of (422|409) ", text)] == []


def test_space_is_counted_while_it_is_written(form):
    before = form.locator(STANDING).inner_text()
    form.get_by_label("Space", exact=True).select_option("")
    form.get_by_label("Layers").fill("1-2")
    form.get_by_label("Hidden size").fill("32, 64")
    form.get_by_label("Heads").fill("1, 2")
    form.get_by_label("Feed-forward").fill("64")
    expect(form.locator(STANDING)).to_have_text("8 architectures of 8 combinations.")
    assert before != form.locator(STANDING).inner_text()
    expect(form.locator('[data-part="space"]')).to_contain_text("Nothing was calibrated for this target")


def test_what_a_constraint_leaves_is_shown(form):
    form.get_by_label("Constraints").fill("parameters <= 30M\nlatency_p50 <= 9 ms")
    rows = form.locator(".constraints li")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("met by")
    expect(rows.nth(1)).to_contain_text("judged when measured")
    assert 0 < float(rows.nth(0).locator("meter").get_attribute("value")) < 1


def test_constraint_that_empties_the_space_is_told_at_its_field(form):
    field = form.get_by_label("Constraints")
    field.fill("parameters <= 10")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(form.locator("#constraints-said .wrong")).to_contain_text("constraints.0")
    expect(form.locator(STANDING)).to_have_text("Not a study yet: see what is marked.")
    field.fill("")
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_mistakes_are_told_at_their_fields(form):
    form.get_by_label("Trials", exact=True).fill("none")
    form.get_by_label("Batch", exact=True).fill("0")
    expect(form.locator('[id="budget.trials-said"] .wrong')).to_have_text("must be a whole number, got 'none'")
    expect(form.locator('[id="target.batch-said"] .wrong')).to_contain_text("must be an integer in 1 ...")
    form.get_by_role("button", name="Start the study").click()
    expect(form.locator("#name-said .wrong")).to_have_text("is missing")
    expect(form.get_by_label("Name of the study")).to_be_focused()


def test_metrics_are_those_of_the_kind(form):
    form.get_by_label("Kind of task").select_option("regression")
    assert form.get_by_label("Metric").locator("option").all_inner_texts() == ["the kind’s own", "pearson", "spearman"]


def test_file_says_the_same_as_the_form(form):
    form.get_by_label("Name of the study").fill("said-twice")
    form.get_by_label("Teacher").fill('C:\\odd: "name" # here')
    form.get_by_label("Space", exact=True).select_option("")
    form.get_by_label("Hidden size").fill("48-96 step 48")
    form.get_by_label("Constraints").fill("latency_p50 <= 9 ms")
    form.get_by_label("Runtime").select_option("onnx")
    form.get_by_text("Strategy, recipe and measuring").click()
    form.get_by_label("What is taught").select_option("minilm")
    form.get_by_label("stop distillations").check()
    form.locator("#strategy").select_option("pareto")
    spec = parse_study(form.locator(YAML).inner_text(), origin="form", default_name="other")
    assert spec.name == "said-twice"
    assert spec.teacher.model == 'C:\\odd: "name" # here'
    assert spec.search_space.hidden_size.values == (48, 96)
    assert spec.constraints[0].bound == 0.009
    assert spec.target.runtime == "onnx"
    assert spec.early_stopping
    assert spec.strategy == "pareto"
    with form.expect_download() as download:
        form.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "said-twice.yaml"
    assert parse_study(download.value.path().read_text(), origin="file", default_name="other") == spec


def test_study_is_started_and_shown(form, worker):
    form.get_by_label("Name of the study").fill("from-the-form")
    form.get_by_label("Trials", exact=True).fill("5")
    form.keyboard.press("Enter")
    expect(form.locator("#state")).to_have_text("preparing")
    assert form.url.endswith("/studies/from-the-form")
    assert worker.client.studies.get("from-the-form").spec.budget.trials == 5


def test_name_that_is_taken_is_told_at_the_name(form, worker):
    form.get_by_label("Name of the study").fill(worker.spec.name)
    form.get_by_role("button", name="Start the study").click()
    expect(form.locator("#name-said .wrong")).to_contain_text("exists with other settings")


def test_form_on_every_screen(worker, address, on_every_screen):
    def prepare(page):
        page.get_by_label("Constraints").fill("parameters <= 30M\nlatency_p50 <= 9 ms")
        page.locator(".constraints meter").wait_for()

    on_every_screen("new-study", f"{address}/new", '[data-part="space"] dl', prepare)
