"""What a model card tells of a latency."""

import pytest

from distillation.values import Dataset, Recipe, Task
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict
from protocol.jobs import FinalizeWork, Score
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


@pytest.mark.parametrize(
    ("quantiles", "told"),
    [
        ((QuantileName.P50,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]"]),
        ((QuantileName.P99,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]", "latency p99 | 3 ms, measured"]),
        ((QuantileName.P90,), ["latency p50 | 1 ms [0.9 ms, 1.1 ms]", "latency p90 | 2 ms [1.9 ms, 2.1 ms]"]),
    ],
)
def test_card_tells_the_median_and_the_quantile_that_decides(quantiles, told):
    work = FinalizeWork(
        name="demo",
        architecture=SHAPE,
        recipe=Recipe(),
        steps=10,
        data="d" * 64,
        teacher="a" * 64,
        profile=DeviceProfile(),
        effort=Effort.SEARCH,
        quantiles=quantiles,
        seed=1,
    )
    training = Training(selection=SCORE, report=SCORE, curve=(), steps=10, seconds=1.0)
    task = Task(dataset=Dataset(source="docstrings"))
    card = model_card(work, training, MEASUREMENT, task=task, classes=("a", "b"), teacher=SHAPE)
    lines = [line.removeprefix("| ") for line in card.splitlines() if line.startswith("| latency")]
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))
