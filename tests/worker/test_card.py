"""What a model card tells of a latency."""

from dataclasses import replace

import pytest

from distillation.assistants.tradeoff import Assistance, Point, Round
from distillation.recipe import Recipe
from distillation.values import Dataset, Estimate, Task
from encoders.loading import PIPELINES
from encoders.values import HeadKind
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict
from protocol.card import NO_LICENCE, with_licence
from protocol.jobs import Score
from search_space import Architecture
from worker.card import model_card
from worker.finished import Training

SHAPE = Architecture(vocabulary_size=10, layers=1, hidden_size=8, heads=1, head_size=8, ffn_size=8)
SCORE = Score(value=0.8, low=0.7, high=0.9)
MEASUREMENT = Measurement(
    profile=DeviceProfile(),
    effort=Effort.SEARCH,
    source=Source.MEASURED,
    verdict=Verdict.STEADY,
    p50=Quantile(value_s=0.001, low_s=0.0009, high_s=0.0011),
    p90=Quantile(value_s=0.002, low_s=0.0019, high_s=0.0021),
    p99=Quantile(value_s=0.003, low_s=0.0029, high_s=None),
    throughput_per_s=1000.0,
    load_s=0.1,
    first_call_s=0.1,
    compile_s=0.0,
    peak_memory_bytes=1,
    log_variance=0.001,
    hardware_key="k",
    environment={},
    samples_s=[[0.001]],
    measured_at="2026-01-01T00:00:00+00:00",
)


def written(measurement=None, **more):
    training = Training(selection=SCORE, report=SCORE, curve=(), steps=10, seconds=1.0)
    known = {"name": "demo", "architecture": SHAPE, "recipe": Recipe(), "teacher": SHAPE, "classes": ("a", "b")}
    task = Task(dataset=Dataset(source="docstrings"))
    return model_card(training, measurement, **({"task": task} | known | more))


@pytest.mark.parametrize(
    ("quantiles", "told"),
    [
        ((QuantileName.P50,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]"]),
        ((QuantileName.P99,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]", "latency p99 | 3 ms, measured"]),
        ((QuantileName.P90,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]", "latency p90 | 2 ms [1.9 ms, 2.1 ms]"]),
    ],
)
def test_card_tells_the_median_and_the_quantile_that_decides(quantiles, told):
    card = written(MEASUREMENT, quantiles=quantiles)
    lines = [line.removeprefix("| ") for line in card.splitlines() if line.startswith("| latency")]
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


def test_card_of_what_was_not_measured_tells_no_latency_and_no_verdict():
    card = written()
    assert "latency" not in card
    assert "verdict" not in card
    assert "| accuracy on the report split | 0.800 [0.700, 0.900] |" in card
    assert "verdict is `steady`" in written(MEASUREMENT)


def test_card_names_the_hardware_of_what_was_measured_alone():
    there = replace(MEASUREMENT, environment={"cpu": "EPYC", "available_cores": "2"})
    assert "| hardware | EPYC, 2 cores |" in written(there)
    assert "EPYC" not in written(replace(there, source=Source.COMPILER))


def test_card_says_what_is_quantised_and_what_is_not():
    quantised = replace(MEASUREMENT, profile=DeviceProfile(runtime="onnx_int8"))
    assert "quantised to 8 bits for this alone: scores and weights are of the model in float32 |" in written(quantised)
    assert "quantised" not in written(MEASUREMENT)


def test_card_says_that_nobody_named_a_licence_until_somebody_does():
    card = written()
    assert NO_LICENCE in card
    assert NO_LICENCE not in with_licence(card, "mit")
    assert "--license ID" not in with_licence(card, "mit")


def test_every_line_that_loads_code_beside_the_weights_says_so():
    card = written(kind=HeadKind.QUESTION_ANSWERING)
    loading = [line for line in card.splitlines() if "from_pretrained(" in line]
    assert len(loading) == 2
    assert all("trust_remote_code=True" in line for line in loading)


def test_card_names_the_use_of_its_head():
    assert 'pipeline("text-classification"' in written()
    assert "pipeline_tag: token-classification" in written(kind=HeadKind.TOKEN_CLASSIFICATION)


def hub_card(**more):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    return huggingface_hub.ModelCard(written(**more))


@pytest.mark.parametrize("kind", list(HeadKind))
def test_the_hub_reads_the_card(kind):
    card = hub_card(kind=kind, teacher_source="google/bert_uncased_L-4")
    assert card.data.license == "unknown"
    assert card.data.base_model == "google/bert_uncased_L-4"
    assert card.data.language == "en"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == PIPELINES[kind]
    found = {result.dataset_split: result for result in card.data.eval_results}
    assert found.keys() == {"report", "selection"}
    assert found["report"].metric_type == "accuracy"
    assert found["report"].metric_value == 0.8
    assert "0.700 to 0.900" in found["report"].metric_name
    assert found["report"].dataset_name == "docstrings"


@pytest.mark.parametrize(
    ("source", "base", "shown"),
    [
        ("bert-base-uncased", "bert-base-uncased", "bert-base-uncased, "),
        ("owner/name", "owner/name", "owner/name, "),
        ("built-in", None, "built-in, "),
        ("/home/somebody/secret/my-bert", None, "my-bert, "),
        (None, None, ""),
    ],
)
def test_a_local_teacher_is_named_without_its_folders_and_is_no_model_of_the_hub(source, base, shown):
    card = hub_card(teacher_source=source)
    assert card.data.base_model == base
    assert f"| teacher | {shown}1x8" in card.content
    assert "somebody" not in card.content


def test_local_data_are_named_without_their_folders():
    card = hub_card(task=Task(dataset=Dataset(source="/home/somebody/reviews.tsv")))
    assert "somebody" not in card.content
    assert card.data.eval_results[0].dataset_name == "reviews.tsv"
    assert card.data.language is None


def test_a_hostile_name_stays_a_value():
    name = "x: [1]\n---\nlicense: mit # '"
    assert hub_card(name=name).data.license == "unknown"


def point(share, student=None):
    metric = Estimate(value=0.8, low=0.7, high=0.9, examples=9)
    taught = None if student is None else replace(metric, value=student)
    return Point(sparsity=0.5, architecture=SHAPE, share=share, selection=metric, tradeoff=0.9, student=taught)


@pytest.mark.parametrize(
    ("rounds", "told"),
    [
        ([Round(points=(point(0.5), point(0.25)), chosen=1)], "1x8 a1x8 f8 (25% of the teacher's blocks)"),
        (
            [Round(points=(point(0.5), point(0.3)), chosen=0), Round(points=(point(0.2),), chosen=0)],
            "1x8 a1x8 f8 (50% of the teacher's blocks), then 1x8 a1x8 f8 (20% of the teacher's blocks)",
        ),
        ([Round(points=(point(0.5),), chosen=None)], "none: the student itself had the best trade-off"),
        (
            [
                Round(points=(point(share, student),), chosen=0)
                for share, student in ((0.7, 0.6), (0.4, 0.8), (0.2, 0.8))
            ],
            "1x8 a1x8 f8 (40% of the teacher's blocks)",
        ),
    ],
)
def test_card_names_who_else_taught(rounds, told):
    assert f"| assistant | {told} |" in written(assistance=Assistance(rounds=tuple(rounds)))
    assert "assistant" not in written()
