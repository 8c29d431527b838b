"""A report holds what the service would show, loads nothing, and takes every name for text."""

import re
from html.parser import HTMLParser

import pytest

from cli.report import report_html
from optimization.values import Objective
from protocol.study import StudySpec
from protocol.views import FrontPoint, FrontView, StudyState, TrialState

FRONT = FrontView(
    numbers=(1, 2),
    reference={"accuracy": 0.5},
    hypervolume=0.5,
    history=(FrontPoint(trials=1, hypervolume=0.2), FrontPoint(trials=2, hypervolume=0.5)),
)
EMPTY = FrontView(numbers=(), reference=None, hypervolume=None, history=())
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


class Page(HTMLParser):
    """Its elements and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def has(self, words):
        return words in " ".join(" ".join(self.text).split())

    def count(self, tag, **attrs):
        return sum(name == tag and attrs.items() <= found.items() for name, found in self.tags)


@pytest.fixture
def page(study, now):
    def make(listed, front=FRONT, **changes):
        return Page(report_html(study(**changes), listed, front, now))

    return make


@pytest.fixture
def now(study):
    return study().created_at


def test_a_finished_study_is_told_in_full(page, trial, finalist, now):
    trials = [
        trial(1, value=0.70, ms=2.0, finalist=finalist(0.72, 2.1)),
        trial(2, value=0.74, ms=4.0),
        trial(3, value=0.60, ms=5.0, on_front=False),
        trial(4, state=TrialState.INFEASIBLE, reason="latency_p50 is 40 ms"),
        trial(5, value=0.71, ms=3.0, on_front=False, origin="baseline: half"),
    ]
    found = page(trials)
    for words in (
        "demo",
        "classification by accuracy, docstrings",
        "Finalists (full fidelity, report split)",
        "0.720 [0.700, 0.740]",
        "2.1 ms measured",
        "To compare with",
        "tf-idf + logistic regression",
        "best within 3 points of the teacher on the selection split: 5.71x its speed",
        "Every trial (5)",
        "1 trial was out of bounds before any training",
        "hardware here",
        "knowledge: logits",
        "Hypervolume of the front over the trials",
        "Large dots are the front",
        f"last measured {now:%Y-%m-%d %H:%M} UTC",
    ):
        assert found.has(words), words
    assert found.count("svg") == 2
    assert found.count("g", **{"class": "best"}) == 2
    assert found.count("g", **{"class": "trial"}) == 1
    assert found.count("g", **{"class": "baseline"}) == 1
    assert found.count("g", **{"class": "teacher"}) == 1


def test_nothing_is_loaded_from_anywhere_and_nothing_runs(study, trial, finalist, now):
    text = report_html(study(), [trial(1, finalist=finalist(0.7, 2.0))], FRONT, now)
    assert text.startswith("<!doctype html>\n")
    page = Page(text)
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", text)
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_hostile_words_are_text_wherever_they_stand(page, trial, finalist, latency):
    reference = latency(9.0).model_copy(update={"environment": {HOSTILE: HOSTILE}, "verdict": HOSTILE})
    hostile = finalist(0.7, 2.0).model_copy(update={"error": HOSTILE})
    trials = [
        trial(1, finalist=hostile, origin=f"baseline: {HOSTILE}"),
        trial(2, state=TrialState.FAILED, reason=HOSTILE),
    ]
    found = page(trials, references={"teacher": reference}, notes=(HOSTILE,), error=HOSTILE, machines=(HOSTILE,))
    assert found.has(HOSTILE)
    assert found.count("script") == found.count("img") == 0


@pytest.mark.parametrize("state", [StudyState.PREPARING, StudyState.FAILED])
def test_a_study_without_trials_is_a_page_too(page, state):
    found = page([], EMPTY, state=state, prepared=None, references={}, trials={}, front_size=0, hypervolume=None)
    assert found.has("There is no trial yet.")
    assert found.count("svg") == 0


def test_a_study_of_failures_only_has_no_plot(page, trial):
    trials = [trial(1, state=TrialState.FAILED, reason="the loss diverged")]
    found = page(trials, EMPTY, prepared=None, references={}, front_size=0, hypervolume=None)
    assert found.has("the loss diverged")
    assert found.has("There is no finalist yet.")
    assert found.count("svg") == 0


def test_one_trial_is_a_plot_of_one_point(page, trial):
    assert page([trial(1)], EMPTY, references={}).count("circle") == 1


def test_a_study_of_its_own_metrics_is_drawn_over_them(study, trial, now):
    spec = study().spec
    objectives = (Objective(metric="bleu", direction="maximize"), Objective(metric="energy", direction="minimize"))
    changed = spec.model_copy(update={"objectives": objectives})
    trials = [
        trial(number).model_copy(
            update={"metrics": {"bleu": 0.1 * number, "energy": 3.0 * number}, "latency": None, "evaluation": None}
        )
        for number in (1, 2)
    ]
    view = study(prepared=None, references={}).model_copy(update={"spec": changed})
    found = Page(report_html(view, trials, FRONT, now))
    assert found.count("g", **{"class": "best"}) == 2
    assert found.has("bleu over energy, as the trials were compared")
    assert found.has("6")


def test_a_report_is_written_where_it_may_be(stillhouse, tmp_path):
    code, _, err = stillhouse("study", "report", "demo", "--to", tmp_path / "nowhere" / "demo.html")
    assert code == 2
    assert "name a file, such as demo.html, in a folder that is there" in err


def test_an_external_study_is_told_in_its_own_words(page, trial):
    spec = StudySpec.model_validate(
        {
            "name": "on-the-chip",
            "external": True,
            "search_space": {"layers": [2, 4], "hidden_size": 96, "heads": 3, "ffn_size": 384},
            "objectives": {"energy_mj": "minimize", "f1_dev": "maximize"},
            "constraints": ["size_kb <= 900"],
        }
    )
    known = {"evaluation": None, "latency": None}
    trials = [
        trial(number).model_copy(
            update={**known, "metrics": {"energy_mj": 3.0 * number, "f1_dev": 0.9, "size_kb": 5.0}}
        )
        for number in (1, 2)
    ]
    found = page(trials, spec=spec, prepared=None, references={}, front_size=1)
    for words in ("f1_dev over energy_mj", "objectives energy_mj: minimize, f1_dev: maximize", "size_kb <= 900"):
        assert found.has(words)
    shown = " ".join(text for text in found.text if ":root" not in text).partition("The whole study")[0]
    assert not re.search("accuracy|teacher|flash|recipe|docstrings|classification", shown)
