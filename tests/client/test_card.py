"""The card of an export that was fetched says what was found out after it was written."""

from dataclasses import replace

import pytest
import yaml

from client import InvalidArgument
from client.card import complete_card
from protocol.card import NO_LICENCE, NOT_YET
from protocol.study_file import parse_study
from protocol.views import LatencyView

CARD = """\
---
library_name: transformers
license: unknown
---

# demo

| | |
| --- | --- |
| accuracy on the report split | 0.800 [0.700, 0.900] |
| accuracy on the selection split | 0.810 [0.710, 0.910] |
| classes | a, b |

The report split was evaluated once, after training; intervals cover 95 %.
"""
LATENCY = LatencyView(
    p50_s=0.002,
    p90_s=0.003,
    p99_s=0.004,
    low_s=0.0019,
    high_s=0.0021,
    source="measured",
    verdict="noisy",
    effort="report",
    samples=100,
    measured_at="2030-01-01T00:00:00+00:00",
    hardware_key="k",
    environment={},
    notes=("something else ran",),
)


@pytest.fixture
def spec():
    text = "name: demo\nteacher: built-in\ntask: {dataset: docstrings}\nconstraints: [latency_p99 <= 9 ms]\n"
    return parse_study(
        text + "objectives: {accuracy: maximize, latency_p99: minimize}\n", origin="t", default_name="demo"
    )


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(CARD)
    return path


def test_the_latency_stands_behind_the_scores_with_source_and_verdict(card, spec):
    complete_card(card.parent, spec, LATENCY)
    lines = card.read_text().splitlines()
    place = lines.index("| latency p50 | 2 ms [1.9 ms, 2.1 ms], measured with effort `report` |")
    assert lines[place - 1].startswith("| accuracy on the selection split")
    assert lines[place + 1 : place + 3] == [
        "| latency p99 | 4 ms, measured |",
        f"| device profile | {spec.target.label} |",
    ]
    assert "The latency's verdict is `noisy`; something else ran." in card.read_text()
    before = card.read_text()
    complete_card(card.parent, spec, LATENCY)
    assert card.read_text() == before


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"cpu": "EPYC", "logical_cores": "4", "available_cores": "2"}, "EPYC, 2 cores"),
        ({"cpu": "EPYC", "available_cores": "2", "gpu": "H100"}, "H100"),
        ({}, None),
    ],
)
def test_the_card_names_the_hardware_that_it_was_measured_on(card, spec, environment, told):
    complete_card(card.parent, spec, LATENCY.model_copy(update={"environment": environment}))
    rows = [line for line in card.read_text().splitlines() if line.startswith("| hardware ")]
    assert rows == ([] if told is None else [f"| hardware | {told} |"])


def test_the_card_says_what_is_quantised_and_what_is_not(card, spec):
    quantised = replace(spec.target, runtime="onnx_int8")
    complete_card(card.parent, spec.model_copy(update={"target": quantised}), LATENCY)
    assert "quantised to 8 bits for this alone: scores and weights are of the model in float32 |" in card.read_text()


def test_what_a_compiler_estimated_names_no_hardware(card, spec):
    stamp = {"source": "compiler", "environment": {"cpu": "EPYC", "available_cores": "2"}}
    complete_card(card.parent, spec, LATENCY.model_copy(update=stamp))
    assert "EPYC" not in card.read_text()


def test_a_named_licence_stands_in_the_text_too_and_may_be_changed(card, spec):
    card.write_text(f"{CARD}\n## Licence\n\n{NO_LICENCE} It was made from data.{NOT_YET}\n")
    complete_card(card.parent, spec, None, license="mit")
    complete_card(card.parent, spec, None, license="apache-2.0")
    told = card.read_text()
    assert told.endswith("## Licence\n\nIts owner gives it under `apache-2.0`. It was made from data.\n")
    assert "license: apache-2.0" in told


def test_a_card_that_tells_its_latency_keeps_it(card, spec):
    card.write_text(CARD.replace("| classes", "| latency p50 | 9 ms, measured |\n| classes"))
    before = card.read_text()
    complete_card(card.parent, spec, LATENCY)
    assert card.read_text() == before


def test_the_owner_names_licence_and_language(card, spec):
    complete_card(card.parent, spec, None, license="apache-2.0", language="de")
    _, front, rest = card.read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "transformers", "license": "apache-2.0", "language": "de"}
    assert rest == CARD.split("---\n", 2)[2]


@pytest.mark.parametrize(
    "said", [{"license": "Apache 2.0"}, {"license": ""}, {"license": "mit\n---"}, {"language": "English"}]
)
def test_what_no_hub_takes_for_a_licence_or_a_language_is_not_written(card, spec, said):
    with pytest.raises(InvalidArgument, match=f"^{next(iter(said))}: "):
        complete_card(card.parent, spec, None, **said)
    assert card.read_text() == CARD


@pytest.mark.parametrize("text", ["", "# somebody's own\n", "---\nno end"])
def test_what_is_no_card_of_ours_is_left_alone(card, spec, text):
    card.write_text(text)
    complete_card(card.parent, spec, LATENCY, license="mit")
    assert card.read_text() == text


def test_a_folder_without_a_card_gets_none(tmp_path, spec):
    complete_card(tmp_path, spec, LATENCY)
    assert list(tmp_path.iterdir()) == []
