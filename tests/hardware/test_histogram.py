"""Lengths in buckets, against literal counting."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hardware.histogram import expectation, histogram
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict

EDGES = (16, 32, 64)


def measurement(length: int, processes: list[list[float]], batch: int = 1) -> Measurement:
    samples = [sample for process in processes for sample in process]
    quantile = Quantile(value_s=sorted(samples)[len(samples) // 2], low_s=None, high_s=None)
    return Measurement(
        profile=DeviceProfile(batch=batch, length=length),
        effort=Effort.QUICK,
        source=Source.MEASURED,
        verdict=Verdict.PROVISIONAL,
        p50=quantile,
        p90=quantile,
        p99=quantile,
        throughput_per_s=batch * len(samples) / sum(samples),
        load_s=0.1,
        first_call_s=0.1,
        compile_s=0.0,
        peak_memory_bytes=1,
        log_variance=0.0,
        hardware_key="k",
        environment={},
        samples_s=processes,
        measured_at="2026-01-01T00:00:00+00:00",
    )


@given(
    lengths=some.lists(some.integers(1, 200), min_size=1, max_size=60),
    edges=some.sets(some.integers(1, 150), min_size=1, max_size=5),
    longest=some.integers(1, 120),
)
def test_every_text_is_in_the_first_bucket_that_holds_it(lengths, edges, longest):
    seen = histogram(lengths, sorted(edges), longest)
    places = [bucket.length for bucket in seen.buckets]
    assert places == sorted({*(edge for edge in edges if edge < longest), longest})
    padded = [next((place for place in places if length <= place), longest) for length in lengths]
    for bucket in seen.buckets:
        inside = [min(length, longest) for length, place in zip(lengths, padded, strict=True) if place == bucket.length]
        assert (bucket.texts, bucket.tokens) == (len(inside), sum(inside))
        assert math.isclose(bucket.waste, 1 - sum(inside) / (len(inside) * bucket.length) if inside else 0.0)
    assert seen.texts == len(lengths)
    assert seen.cut == sum(length > longest for length in lengths)
    kept = sum(min(length, longest) for length in lengths)
    assert math.isclose(seen.waste, 1 - kept / sum(padded), abs_tol=1e-12)
    assert math.isclose(seen.waste_without_buckets, 1 - kept / (longest * len(lengths)), abs_tol=1e-12)
    assert 0 <= seen.waste <= seen.waste_without_buckets + 1e-12 < 1 + 1e-12


def test_expected_latency_is_that_of_texts_drawn_from_the_histogram():
    generator = random.Random(0)
    seen = histogram([5] * 6 + [20] * 3 + [60], EDGES, 64)
    measured = {
        length: measurement(length, [[generator.uniform(low, low + 1) for _ in range(count)] for count in (40, 20)])
        for length, low in ((16, 1.0), (32, 2.0), (64, 5.0))
    }
    found = expectation(seen, measured)
    samples = {length: [s for process in each.samples_s for s in process] for length, each in measured.items()}
    means = {length: sum(each) / len(each) for length, each in samples.items()}
    assert math.isclose(found.mean_s, (6 * means[16] + 3 * means[32] + means[64]) / 10)
    assert math.isclose(found.throughput_per_s, 1 / found.mean_s)
    assert math.isclose(found.longest_s, means[64])
    # Each of the 60 samples of a bucket, as often as its bucket has texts, makes equal weights.
    drawn = sorted(samples[16] * 6 + samples[32] * 3 + samples[64])
    for name in QuantileName:
        assert math.isclose(found.quantiles_s[name], drawn[math.ceil(name.share * len(drawn)) - 1], rel_tol=1e-9)


def test_texts_of_one_bucket_are_called_together():
    seen = histogram([5, 5, 5, 30], (16,), 32)
    measured = {16: measurement(16, [[0.1]], batch=8), 32: measurement(32, [[0.5]], batch=8)}
    found = expectation(seen, measured)
    assert math.isclose(found.mean_s, (3 * 0.1 + 0.5) / 4)
    assert math.isclose(found.throughput_per_s, 8 / found.mean_s)


def test_a_bucket_without_texts_need_not_be_measured_but_one_with_texts_must():
    seen = histogram([5], EDGES, 64)
    assert math.isclose(expectation(seen, {16: measurement(16, [[0.1]])}).mean_s, 0.1)
    assert expectation(seen, {16: measurement(16, [[0.1]])}).longest_s is None
    with pytest.raises(KeyError):
        expectation(seen, {32: measurement(32, [[0.1]])})


@pytest.mark.parametrize(
    ("lengths", "edges", "message"),
    [([], EDGES, "at least one text"), ([0], EDGES, "at least one token"), ([1], (), "buckets"), ([1], (8, 8), "8, 8")],
)
def test_what_makes_no_histogram_is_refused(lengths, edges, message):
    with pytest.raises(ValueError, match=message):
        histogram(lengths, edges, 64)


def test_a_larger_share_of_long_texts_never_lowers_a_quantile():
    measured = {16: measurement(16, [[1.0, 1.1, 1.2]]), 64: measurement(64, [[4.0, 4.1]])}
    short, long = (expectation(histogram([5] * (10 - n) + [60] * n, (16,), 64), measured) for n in (1, 5))
    assert all(short.quantiles_s[name] <= long.quantiles_s[name] for name in QuantileName)
    assert short.mean_s < long.mean_s
    assert replace(short, longest_s=None).longest_s is None
