"""The page of a study that ended."""

from __future__ import annotations

import math
import re

import httpx
import pytest
from playwright.sync_api import expect

from protocol.views import StudyState

pytestmark = pytest.mark.browser

POINTS = "#front-figure .points path.point"
SCREENS = {
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "color_scheme": "dark"},
}


@pytest.fixture
def ended(worker, watched, address):
    """The page of the study at its end."""
    worker.work_until(lambda: worker.study().state is StudyState.COMPLETED)
    watched.page.goto(f"{address}/studies/{worker.spec.name}")
    expect(watched.page.locator(POINTS).first).to_be_visible(timeout=10_000)
    yield watched.page
    assert watched.complaints == []


def test_scripts_take_over_without_a_change_of_what_is_said(worker, ended, address):
    served = httpx.get(f"{address}/studies/{worker.spec.name}", trust_env=False).text
    for identity in ("state", "trials-count", "front-size", "hypervolume", "teacher", "remaining-term", "remaining"):
        said = re.search(rf'id="{identity}"[^>]*>([^<]*)<', served)
        assert said is not None
        assert said[1].strip() == ended.locator(f"#{identity}").inner_text(), identity


def test_front_is_not_squeezed_by_a_baseline_far_below(worker, ended, screenshots):
    figure, legend = ended.locator("#front-figure"), ended.locator("#front-legend")
    assert ended.locator(POINTS).count() >= int(figure.get_attribute("data-points")) > 10
    assert figure.locator(".scatterlayer .yerror").count() >= worker.spec.budget.finalists
    low, high = ended.evaluate("document.getElementById('front-figure').layout.yaxis.range")
    assert 0.3 < low < 0.707 < 0.743 < high
    expect(figure.locator(".annotation")).to_have_text("↓ majority class 0.077")
    expect(legend).to_contain_text("majority class 0.077, report split, below this range")
    expect(legend).to_contain_text("TF-IDF + logistic regression 0.707, report split")
    expect(legend).to_contain_text("bound 9 ms")
    assert figure.locator(".scatterlayer text, .shape-label").count() == 0, "labels would overlap"
    ended.screenshot(path=screenshots / "light.png", full_page=True)


def test_lines_that_load_a_checkpoint_name_the_folder_that_is_there(worker, ended, address):
    load = ended.locator("#finalists-load")
    expect(load.locator("pre code")).to_have_text(f"stillhouse export {worker.spec.name}")
    load.get_by_role("button", name="copy").press("Enter")
    expect(load.get_by_role("button", name="copied")).to_be_visible()
    numbers = [trial.number for trial in worker.client.studies.trials(worker.spec.name) if trial.finalist]
    folders = [worker.home / "exports" / worker.spec.name / f"trial-{number}" for number in numbers]
    for folder in folders:
        folder.mkdir(parents=True)
    ended.reload()
    for folder in folders:
        load.get_by_role("button", name=re.compile(f"^{folder.name.replace('-', ' ')}$")).click()
        expect(load.locator("pre code")).to_contain_text(f'"{folder}"')


def test_reach_of_the_teacher_is_judged_on_the_selection_split(ended):
    """With a report split on which all of them fail, the same finalists are named."""
    findings = ended.locator("#finalists-findings li")
    expect(findings.first).to_contain_text("of the teacher on the selection split: trial")
    named = findings.locator("strong").all_inner_texts()

    def failed(route):
        answer = route.fetch()
        told = answer.json()
        for trial in told if isinstance(told, list) else [told]:
            if trial["finalist"]:
                trial["finalist"]["evaluation"]["report"]["value"] = 0.0
        route.fulfill(response=answer, json=told)

    ended.route(re.compile(r"/v1/studies/[\w-]+/trials(\?on_front=|/\d+$)"), failed)
    ended.reload()
    expect(findings.first).to_contain_text("(0.000 against 0.743 on the report split)")
    assert findings.locator("strong").all_inner_texts() == named


def test_every_screen_is_wide_enough(worker, ended, browser, address, screenshots):
    for name, screen in SCREENS.items():
        context = browser.new_context(**screen)
        page = context.new_page()
        page.goto(f"{address}/studies/{worker.spec.name}")
        expect(page.locator(POINTS).first).to_be_visible(timeout=10_000)
        expect(page.locator("#hypervolume-figure .scatterlayer path.js-line")).to_be_visible(timeout=10_000)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the screen"
        tables = page.locator(".scroll").evaluate_all("all => all.map((it) => it.scrollWidth <= it.clientWidth)")
        assert all(tables), f"{name}: a table is wider than the screen"
        page.screenshot(path=screenshots / f"{name}.png", full_page=True)
        context.close()


def test_overview_leads_to_the_study(worker, ended, address, screenshots):
    ended.goto(address)
    expect(ended.locator("#studies a")).to_have_text(worker.spec.name)
    expect(ended.locator("#link")).to_have_text("live")
    ended.screenshot(path=screenshots / "overview.png", full_page=True)


def test_points_and_keys_open_a_trial(worker, ended, address, screenshots):
    page = ended
    front = worker.client.studies.front(worker.spec.name).numbers
    fastest = min(
        (trial for trial in worker.client.studies.trials(worker.spec.name) if trial.number in front),
        key=lambda trial: trial.metrics["latency_p50"],
    )
    marks = page.locator("#front-figure .scatterlayer .tracefront path.point")
    marks.first.scroll_into_view_if_needed()
    boxes = [marks.nth(place).bounding_box() for place in range(marks.count())]
    box = min((box for box in boxes if box is not None), key=lambda box: box["x"])
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#front-figure .hoverlayer")).to_contain_text(f"trial {fastest.number}")
    # A choice leads to the trial's own page; without an answer the browser stays here.
    page.route("**/trials/*", lambda route: route.fulfill(status=204) if is_page(route) else route.fallback())
    with page.expect_request(f"**/studies/{worker.spec.name}/trials/{fastest.number}"):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    page.locator(f"#trial-{fastest.number} button.open").press("Enter")
    expect(page.locator(f"#detail-{fastest.number}")).to_be_visible()
    expect(page.locator(f"#detail-{fastest.number} .curve").first).to_be_visible()
    assert page.url.endswith(f"#trial-{fastest.number}")
    page.screenshot(path=screenshots / "opened.png")

    page.locator("#trial-2 button.open").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_be_visible()
    expect(page.locator(f"#detail-{fastest.number}")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_be_hidden()

    page.locator("#trials-table").get_by_role("button", name="Latency").press("Enter")
    shown = [int(text) for text in page.locator("#trials-table tr.trial button.open").all_inner_texts()]
    trials = worker.client.studies.trials(worker.spec.name)
    latencies = {trial.number: trial.latency.p50_s if trial.latency else math.inf for trial in trials}
    assert [latencies[number] for number in shown] == sorted(latencies.values())

    page.goto(f"{address}/studies/{worker.spec.name}#trial-3")
    page.reload()
    expect(page.locator("#detail-3")).to_be_visible()


def is_page(route) -> bool:
    return route.request.is_navigation_request()


def test_best_student_that_is_a_finalist_comes_with_the_lines_that_load_it(worker, ended):
    trials = worker.client.studies.trials(worker.spec.name)
    best = max((trial for trial in trials if trial.finalist), key=lambda trial: trial.metrics["accuracy"])
    field = ended.get_by_role("textbox", name="p50 latency in ms")
    field.fill(f"{best.metrics['latency_p50'] * 1.0001} s")
    field.press("Enter")
    expect(ended.locator("#within-answer").get_by_role("link")).to_have_text(f"trial {best.number}")
    ended.get_by_text("How to have it").click()
    expect(ended.locator("#within-how pre code")).to_contain_text(f"trial-{best.number}")
    expect(ended.locator("#within-how pre code")).to_contain_text("from transformers import pipeline")


def test_best_student_that_is_no_finalist_is_told_beside_the_best_finalist(worker, ended):
    trials = worker.client.studies.trials(worker.spec.name)
    best = max((trial for trial in trials if "accuracy" in trial.metrics), key=lambda trial: trial.metrics["accuracy"])
    finalist = max((trial for trial in trials if trial.finalist), key=lambda trial: trial.metrics["accuracy"])
    assert best.number != finalist.number
    ended.get_by_role("slider", name="Bound on p50 latency").press("End")
    ended.get_by_text("How to have it").click()
    parts = ended.locator("#within-how .part")
    expect(parts).to_have_count(2)
    expect(parts.first).to_contain_text(f"The best finalist within this bound is trial {finalist.number}")
    expect(parts.last.locator("code")).to_contain_text(
        f"stillhouse distill {worker.spec.name}-trial-{best.number}.yaml"
    )


def test_figures_of_the_whole_study_are_drawn(worker, ended):
    expect(ended.locator("#fidelity-figure .scatterlayer path.point").first).to_be_visible(timeout=10_000)
    assert ended.locator("#fidelity-figure .scatterlayer path.point").count() == worker.spec.budget.finalists
    expect(ended.locator("#fidelity-caption")).to_contain_text(f"{worker.spec.budget.finalists} trials were")
    expect(ended.locator("#parallel-figure canvas")).to_be_visible()
    expect(ended.locator("#parallel-figure")).to_have_attribute("aria-label", re.compile("layers, hidden size, heads"))


def test_a_range_drawn_along_an_axis_filters_the_table(worker, ended):
    canvas = ended.locator("#parallel-figure canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    across = box["x"] + 44  # the first axis: layers
    ended.mouse.move(across, box["y"] + box["height"] - 25)
    ended.mouse.down()
    ended.mouse.move(across, box["y"] + box["height"] * 0.8, steps=4)
    ended.mouse.up()
    expect(ended.get_by_label("Filter")).to_have_value(re.compile(r"layers>=1 layers<=1\.\d+"))
    trials = worker.client.studies.trials(worker.spec.name)
    flat = {trial.number for trial in trials if trial.architecture.layers == 1}
    shown = {int(text) for text in ended.locator("#trials-table tr.trial button.open").all_inner_texts()}
    assert shown == flat


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_assistive_technology(worker, ended, address, serious, scheme):
    ended.emulate_media(color_scheme=scheme)
    expect(ended.locator("#parallel-figure canvas")).to_be_visible()
    assert serious(ended) == []
    ended.goto(address)
    expect(ended.locator("#studies a")).to_be_visible()
    assert serious(ended) == []


def test_trials_that_are_ticked_are_compared(worker, ended, address):
    bar = ended.locator("#trials-compare")
    expect(bar).to_be_hidden()
    ended.get_by_label("Compare trial 3").check()
    expect(bar).to_contain_text("trial 3 is chosen: choose another one")
    expect(bar.get_by_role("link")).to_be_hidden()
    ended.get_by_label("Filter").fill("state:completed")
    for number in (4, 2, 6, 8):
        ended.get_by_label(f"Compare trial {number}", exact=True).press("Space")
    expect(bar).to_contain_text("as many as are compared")
    expect(ended.get_by_label("Compare trial 9", exact=True)).to_be_disabled()
    expect(ended.locator("#detail-3")).to_be_hidden()
    ended.get_by_label("Compare trial 8", exact=True).uncheck()
    bar.get_by_role("link", name="Compare 4 trials").click()
    expect(ended).to_have_url(f"{address}/studies/{worker.spec.name}/compare?trials=2,3,4,6")
    expect(ended.locator("table.comparison thead a")).to_have_text(["trial 2", "trial 3", "trial 4", "trial 6"])
