"""Lower bounds of latencies."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from encoders.build import build
from encoders.values import Head, HeadKind, Pooling
from hardware.chips import CHIPS
from hardware.errors import MeasurementError
from hardware.roofline import SLACK, Bound, ImpossibleLatencyError, chip_name, lower_bound, lower_bound_s, refuse_below
from hardware.values import DeviceProfile, Dtype, Effort, Measurement, Quantile, Source, Verdict
from search_space import KNOWN, Architecture, Pooler

SMALL = Architecture(
    vocabulary_size=50,
    layers=2,
    hidden_size=12,
    heads=2,
    head_size=4,
    ffn_size=20,
    embedding_size=6,
    pooler=Pooler.TANH,
    max_positions=16,
)
HEADS = (
    Head(classes=3),
    Head(classes=3, pooling=Pooling.CLS),
    Head(kind=HeadKind.REGRESSION),
    Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=4),
    Head(kind=HeadKind.QUESTION_ANSWERING),
    Head(kind=HeadKind.MASKED_LM),
)
H100 = CHIPS["H100-SXM"]
PROFILE = DeviceProfile(dtype=Dtype.BFLOAT16, batch=3, length=8)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{head.kind.value}-{head.pooling.value}")
def test_operations_and_bytes_are_those_of_the_torch_model(head: Head) -> None:
    model = build(SMALL, head).eval()
    ids = torch.zeros((3, 8), dtype=torch.int64)
    # The counter knows no fused attention of the CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        output = model(input_ids=ids)
    results = [output.start_logits, output.end_logits] if output.logits is None else [output.logits]
    looked_up = [model.encoder.embeddings.word, model.encoder.embeddings.token_type]
    unread = sum(table.weight.numel() for table in looked_up) + (16 - 8) * 12
    if head.kind is HeadKind.MASKED_LM:  # multiplies by all words
        unread -= model.encoder.embeddings.word.weight.numel()
    pooler = [model.encoder.pooler.weight, model.encoder.pooler.bias]
    if head.pooling is not Pooling.CLS:
        unread += sum(parameter.numel() for parameter in pooler)
    weights = sum(parameter.numel() for parameter in model.parameters()) - unread
    bound = lower_bound(SMALL, head, PROFILE, H100)
    assert bound.bytes == 2 * weights + 2 * sum(result.numel() for result in results) + 4 * ids.numel()
    # Torch computes the pooler also where no head reads it; the matrix products of a mean pooling are no weights'.
    pooling = 2 * 3 * 12 * 12 if head.pooling is not Pooling.CLS else 0
    assert bound.operations == counted.get_total_flops() - pooling


def test_of_bert_base_by_hand() -> None:
    # 12 blocks of 7,087,872 weights, 128 positions and the embeddings' norm, the pooler, two classes.
    weights = 12 * 7_087_872 + (128 + 2) * 768 + 768 * 769 + 2 * 769
    macs = 128 * 12 * (4 * 768**2 + 2 * 768 * 3072) + 12 * 2 * 128**2 * 768 + 768**2 + 2 * 768
    head = Head(classes=2, pooling=Pooling.CLS)
    bound = lower_bound(KNOWN["bert-base"], head, replace(PROFILE, batch=1, length=128), CHIPS["v4"])
    assert bound.operations == 2 * macs
    assert bound.bytes == 2 * weights + 2 * 2 + 4 * 128
    assert bound.memory_s == pytest.approx(bound.bytes / 614e9)
    assert bound.arithmetic_s == pytest.approx(2 * macs / 137.5e12)
    assert bound.seconds == bound.memory_s
    assert bound.label == "bytes / bandwidth"


def test_large_batches_are_bound_by_arithmetic() -> None:
    bound = lower_bound(KNOWN["bert-base"], Head(classes=2), replace(PROFILE, batch=512, length=128), H100)
    assert bound.seconds == bound.arithmetic_s == bound.operations / 989.4e12 > bound.memory_s
    assert bound.label == "operations / peak"


def test_weights_that_fit_on_the_chip_need_not_be_read_again() -> None:
    head = Head(classes=2)
    profile = replace(PROFILE, batch=1)
    small, large = KNOWN["tinybert-4"], KNOWN["bert-base"]
    cold, warm = lower_bound(large, head, profile, H100), lower_bound_s(large, head, profile, "NVIDIA H100 80GB HBM3")
    assert warm is not None
    assert warm.memory_s == pytest.approx(cold.memory_s - 50 * 2**20 / 3350e9)
    kept = lower_bound_s(small, head, profile, "H100-SXM")
    assert kept is not None
    assert kept.memory_s == 0
    assert kept.seconds == kept.arithmetic_s


def test_a_bound_grows_with_every_size() -> None:
    head = Head(classes=2)
    least = lower_bound(SMALL, head, PROFILE, H100)
    for field, value in {"layers": 3, "ffn_size": 24, "heads": 3}.items():
        more = lower_bound(replace(SMALL, **{field: value}), head, PROFILE, H100)
        assert more.operations > least.operations, field
        assert more.bytes > least.bytes, field
    for field, value in {"batch": 4, "length": 9}.items():
        assert lower_bound(SMALL, head, replace(PROFILE, **{field: value}), H100).seconds > least.seconds, field


def test_without_a_known_chip_there_is_no_bound() -> None:
    assert lower_bound_s(SMALL, Head(classes=2), PROFILE, "some processor") is None


def test_the_stamp_of_a_machine_names_its_chip() -> None:
    stamps = {
        "v5e": {"tpu": "0x0063, 0x0063"},
        "v4-chip": {"tpu": "0x005e"},
        "H100-SXM": {"gpu": "NVIDIA H100 80GB HBM3"},
    }
    for name, stamp in stamps.items():
        bound = lower_bound_s(SMALL, Head(classes=2), PROFILE, chip_name(stamp))
        assert bound is not None
        assert bound.chip == name
    assert chip_name({"cpu": "some processor"}) == ""


def test_without_a_known_peak_memory_alone_bounds() -> None:
    bound = lower_bound(SMALL, Head(classes=2), PROFILE, CHIPS["T4"])
    assert bound.arithmetic_s is None
    assert bound.seconds == bound.memory_s > 0
    assert lower_bound(SMALL, Head(classes=2), replace(PROFILE, dtype=Dtype.FLOAT32), CHIPS["T4"]).arithmetic_s


def measured(seconds: float) -> Measurement:
    value = Quantile(value_s=seconds, low_s=None, high_s=None)
    return Measurement(
        profile=PROFILE,
        effort=Effort.SEARCH,
        source=Source.MEASURED,
        verdict=Verdict.STEADY,
        p50=value,
        p90=value,
        p99=value,
        throughput_per_s=1 / seconds,
        load_s=0,
        first_call_s=0,
        compile_s=0,
        peak_memory_bytes=0,
        log_variance=0,
        hardware_key="",
        environment={},
        samples_s=[[seconds]],
        measured_at="",
    )


def test_a_latency_below_the_bound_is_refused() -> None:
    bound = Bound(chip="H100-SXM", operations=1, bytes=1, arithmetic_s=1e-3, memory_s=2e-3)
    refuse_below(measured(2e-3), bound)
    refuse_below(measured(math.nextafter(SLACK * 2e-3, 1)), bound)
    refuse_below(measured(1e-9), None)
    with pytest.raises(ImpossibleLatencyError, match=r"1\.7 ms was measured where H100-SXM needs at least 2 ms"):
        refuse_below(measured(1.7e-3), bound)
    assert issubclass(ImpossibleLatencyError, MeasurementError)
