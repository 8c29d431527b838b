"""What a study says at its end."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.assistants import assistants_tables
from cli.progress import Events
from cli.summary import best_within, closing_lines, print_summary
from cli.tables import counted, difference_text, front_table, latency_text, speed_up, trials_table
from client import Client, Finalist
from client.tables import Trials
from distillation.assistants.tradeoff import Assistance, Point, Round
from distillation.values import Estimate
from protocol.calibration import PredictedLatency
from protocol.study import StudySpec
from protocol.study_file import parse_study
from search_space import Architecture


def text_of(*things, width=200):
    console = Console(file=io.StringIO(), width=width)
    for thing in things:
        console.print(thing)
    return console.file.getvalue()


def test_a_latency_says_where_it_comes_from_and_what_speaks_against_it(latency):
    assert latency_text(latency(3.1)) == "3.1 ms measured"
    assert latency_text(latency(3.1, verdict="noisy")) == "3.1 ms measured, noisy"
    compiled = latency(3.1).model_copy(update={"source": "compiler"})
    assert latency_text(compiled) == "3.1 ms compiler"
    assert latency_text(None) == "–"


def test_a_predicted_latency_stands_beside_the_measured_one_and_says_so(study, trial):
    said = PredictedLatency(quantile="p50", latency_s=2.9e-3, low_s=2e-3, high_s=4e-3, calibration="c")
    told = text_of(trials_table(study(), [trial(1, ms=3.1, predicted=said)]))
    assert "3.1 ms measured, provisional (2.9 ms predicted)" in told
    waiting = trial(2, state="pending", predicted=said)
    assert "2.9 ms predicted" in text_of(trials_table(study(), [waiting]))
    other = said.model_copy(update={"quantile": "p90"})
    assert "predicted" not in text_of(trials_table(study(), [trial(1, predicted=other)]))


def test_latencies_of_different_machines_are_not_compared(study, latency):
    assert speed_up(study(), latency(3.0)) == pytest.approx(4.0)
    assert speed_up(study(), latency(3.0, hardware_key="elsewhere")) is None
    assert speed_up(study(references={}), latency(3.0)) is None


def test_the_fastest_within_reach_of_the_teacher_is_chosen_by_selection_and_told_by_report(
    study, trial, finalist, tmp_path
):
    trials = [
        trial(1, finalist=finalist(selection=0.745, report=0.735, ms=6.0)),
        trial(2, finalist=finalist(selection=0.722, report=0.703, ms=4.0)),
        trial(3, finalist=finalist(selection=0.680, report=0.739, ms=2.0)),
        trial(4, finalist=finalist(selection=0.500, report=0.740, ms=1.0)),
    ]
    assert best_within(3, study(), trials).trial.number == 2
    assert best_within(8, study(), trials).trial.number == 3
    three, eight = closing_lines(study(), trials)
    assert three.startswith(
        "best within 3 points of the teacher on the selection split: 3.00x its speed"
        " (trial 2, accuracy 0.703 against 0.740 on the report split"
    )
    assert eight.startswith(
        "best within 8 points of the teacher on the selection split: 6.00x its speed (trial 3, accuracy 0.739"
    )
    assert "4 ms measured" in three
    console = Console(file=io.StringIO(), width=200)
    print_summary(console, study(), trials, {one: tmp_path / f"trial-{one}" for one in (4, 3, 2, 1)}, "http://here")
    assert f'"{tmp_path / "trial-2"}", trust_remote_code' in console.file.getvalue()


def test_exactly_three_points_are_within_three_points(study, trial, finalist):
    assert best_within(3, study(teacher_selection=0.74), [trial(1, finalist=finalist(report=0.71, ms=4.0))])


def test_of_a_metric_that_falls_less_is_better_and_reach_is_relative(study, trial, finalist):
    spec = parse_study(
        "teacher: built-in\ntask: {dataset: docstrings, kind: masked_lm, metric: perplexity}",
        origin="t",
        default_name="demo",
    )
    masked = study(spec=spec, teacher_selection=10.0, teacher_report=10.0)
    trials = [
        trial(1, finalist=finalist(report=9.0, ms=6.0)),
        trial(2, finalist=finalist(report=10.3, ms=4.0)),
        trial(3, finalist=finalist(report=10.7, ms=2.0)),
        trial(4, finalist=finalist(report=20.0, ms=1.0)),
    ]
    three, eight = closing_lines(masked, trials)
    assert three.startswith(
        "best within 3 % of the teacher on the selection split: 3.00x its speed"
        " (trial 2, perplexity 10.300 against 10.000"
    )
    assert eight.startswith("best within 8 % of the teacher on the selection split: 6.00x its speed (trial 3")
    assert difference_text("perplexity", 10.4, 10.0) == "+4.0 %"
    assert difference_text("accuracy", 0.75, 0.771) == "-2.1 points"


def test_nobody_within_reach_is_said_and_flash_values_do_not_count(study, trial, finalist):
    trials = [trial(1, value=0.74, finalist=finalist(report=0.6, ms=1.0)), trial(2, value=0.9)]
    assert list(closing_lines(study(), trials)) == [
        "best within 3 points of the teacher on the selection split: none",
        "best within 8 points of the teacher on the selection split: none",
    ]


def test_a_finalist_measured_elsewhere_is_not_called_faster(study, trial, finalist):
    assert best_within(3, study(), [trial(1, finalist=finalist(report=0.74, ms=1.0, hardware_key="elsewhere"))]) is None


def test_the_front_stands_against_the_teacher(study, trial):
    text = text_of(
        front_table(study(), [trial(1, value=0.70, ms=4.0), trial(2, value=0.6, ms=2.0), trial(3, on_front=False)])
    )
    rows = [line for line in text.splitlines() if "2x96" in line]
    assert len(rows) == 2
    assert "2 ms measured, provisional" in rows[0]
    assert "6.00x" in rows[0]
    assert "-15.0 points" in rows[0]


def test_the_summary_tells_everything_once(study, trial, finalist, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    trials = [
        trial(1, finalist=finalist(report=0.72, ms=4.0)),
        trial(2, origin="baseline: half-depth", on_front=False),
    ]
    print_summary(console, study(notes=("a note",)), trials, {1: tmp_path / "trial-1"}, "http://127.0.0.1:8787")
    text = console.file.getvalue()
    for part in (
        "0.720 [0.700, 0.740]",
        str(tmp_path / "trial-1"),
        "tf-idf + logistic regression",
        "0.707 [0.687, 0.727]",
        "majority class",
        "half-depth (2x96 a3x32 f384)",
        "a note",
        "http://127.0.0.1:8787/studies/demo",
        "from transformers import pipeline",
        f'classify = pipeline("text-classification", "{tmp_path / "trial-1"}", trust_remote_code=True)',
    ):
        assert part in text
    assert Path(tmp_path).name in text


def test_the_summary_tells_what_early_stopping_saved(study, tmp_path):
    def told(**changes):
        console = Console(file=io.StringIO(), width=200)
        print_summary(console, study(**changes), [], {}, "http://127.0.0.1:8787")
        return console.file.getvalue()

    assert "stopped early: 1 trial, which saved 150 steps" in told(trials={"stopped": 1}, saved_steps=150)
    assert "stopped early: 12 trials, which saved 1.8k steps" in told(trials={"stopped": 12}, saved_steps=1800)
    assert "stopped early" not in told()


def test_candidates_for_assistant_say_who_was_chosen_and_assistants_how_good_their_student_was():
    shape = Architecture(vocabulary_size=9, layers=1, hidden_size=8, heads=1, head_size=8, ffn_size=8)
    metric = Estimate(value=0.8, low=0.7, high=0.9, examples=9)
    known = {"architecture": shape, "share": 0.25, "selection": metric, "tradeoff": 0.95}
    points = (Point(sparsity=0.75, **known), Point(sparsity=-1.0, **known))
    taught = replace(points[0], student=replace(metric, value=0.6))

    def text(*rounds):
        return text_of(*assistants_tables(Assistance(rounds=rounds), "accuracy"))

    found = text(Round(points=points, chosen=0), Round(points=points, chosen=None))
    assert found.count("Candidates for assistant") == 2
    assert "the student itself was best" in found
    assert len(re.findall(r"0\.75 .* 0\.250 .* 0\.800 \[0\.700, 0\.900\] .* 0\.9500 .* chosen", found)) == 1
    assert "– " in found
    exhaustive = text(Round(points=(taught,), chosen=0), Round(points=(taught,), chosen=0))
    assert exhaustive.count("its student") == 1
    assert exhaustive.count("0.600 [0.700") == 2


def test_what_is_counted_is_one_or_several():
    assert [counted(many, "trial") for many in (0, 1, 2, 1000)] == ["0 trials", "1 trial", "2 trials", "1,000 trials"]


EXTERNAL = StudySpec.model_validate(
    {
        "name": "on-the-chip",
        "external": True,
        "search_space": {"layers": [2, 4], "hidden_size": 96, "heads": 3, "ffn_size": 384},
        "objectives": {"energy_mj": "minimize", "f1_dev": "maximize"},
        "constraints": ["size_kb <= 900"],
    }
)


@pytest.mark.parametrize("made", [front_table, trials_table])
def test_external_trials_are_shown_by_what_their_study_judges(study, trial, made):
    told = {"energy_mj": 1234.5678, "f1_dev": 0.91, "size_kb": 512.0, "parameters": 2.5e6}
    known = {"metrics": told, "evaluation": None, "latency": None}
    one = trial(1).model_copy(update=known)
    shown = text_of(made(study(spec=EXTERNAL, prepared=None), [one]))
    assert [word for word in ("energy_mj", "f1_dev", "size_kb", "parameters") if word not in shown] == []
    assert [word for word in ("1234.57", "0.91", "512", "2.5M") if word not in shown] == []
    assert not re.search("accuracy|latency|teacher|flash|speed", shown)


def test_news_of_an_external_trial_name_its_own_metrics(study, trial):
    one = trial(1).model_copy(update={"metrics": {"energy_mj": 3.2, "f1_dev": 0.91, "size_kb": 5.0}, "latency": None})
    (line,) = [
        line for line in Events().look(study(spec=EXTERNAL, prepared=None, references={}), [one]) if "trial 1" in line
    ]
    assert line.endswith("completed energy_mj 3.2 f1_dev 0.91 size_kb 5")


def test_what_the_client_shows_of_itself_in_a_notebook_is_short(study, trial, finalist):
    best = finalist(report=0.735, ms=6.0)
    done = trial(3, finalist=best)
    with Client("http://service:1") as client:
        told = repr(Finalist(done, best, study().spec, client.artefacts))
        assert repr(client) == "<client of http://service:1>"
    assert (
        told == "<finalist 3 of demo: 2x96 a3x32 f384, accuracy 0.735 on the report split, latency p50 6 ms measured>"
    )
    assert repr(Trials([done])) == "<1 trial; .to_pandas() is a table of them>"


def test_a_front_of_other_metrics_shows_them(study, trial):
    told = {"accuracy": 0.7, "latency_p50": 0.004, "latency_p99": 0.0123}
    one = trial(1).model_copy(update={"metrics": told})
    text = text_of(front_table(study(), [one], ["latency_p99", "accuracy"]))
    assert "latency_p99" in text
    assert "12.3 ms" in text
    assert text.count("accuracy") == text_of(front_table(study(), [one])).count("accuracy")


@pytest.mark.parametrize("width", [120, 80, 72, 60, 40])
def test_a_table_never_breaks_a_word_and_loses_none(study, trial, width):
    trials = [trial(number, origin="baseline: half-depth", on_front=False) for number in (1, 23)]
    table, wide = (trials_table(study(), trials) for _ in range(2))
    told = text_of(table, width=width)
    words = set(re.findall(r"[\w.:-]+", text_of(wide)))
    assert {"provisional", "half-depth", "architecture", "2x96"} <= words
    assert words <= set(re.findall(r"[\w.:-]+", told))
    assert all(len(line) <= width for line in told.splitlines())


def test_a_table_that_has_no_room_for_its_words_is_told_row_by_row(study, trial):
    told = text_of(trials_table(study(), [trial(7), trial(8, state="failed", reason="out of memory")]), width=50)
    assert re.search(r"^trial +7$", told, re.MULTILINE)
    assert re.search(r"^latency p50 +4 ms measured, provisional$", told, re.MULTILINE)
    assert re.search(r"^ +out of memory$", told, re.MULTILINE)


def test_a_narrow_table_keeps_its_title(study, trial):
    for width in (200, 80, 40):
        assert "Front (flash fidelity, selection split)" in text_of(front_table(study(), [trial(1)]), width=width)
