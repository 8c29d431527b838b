"""Verdicts and numbers of a measurement from its rounds."""

import math
import random
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardware.attempt import Attempt
from hardware.environment import hardware_key
from hardware.judgement import KEPT_SAMPLES, NO_OWN_TIME, UNWATCHED, doubts_of, judged
from hardware.plan import PLANS, rules_of, tolerance
from hardware.quantile import quantile_of_calls
from hardware.round import Round
from hardware.spread import log_variance
from hardware.values import Device, DeviceProfile, Effort, Measurement, QuantileName, Runtime, Source, Verdict

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def shuffled(samples_s: list[float]) -> list[float]:
    return random.Random(0).sample(samples_s, len(samples_s))


def of(median_s: float, *, spread: float = 0.002) -> Round:
    """A thousand samples evenly around the median, in no order."""
    return Round(
        samples_s=shuffled([median_s * (1 + spread * (rank - 499) / 500) for rank in range(1000)]),
        load_s=0.5,
        compile_s=0.0,
        first_call_s=0.2,
        warm=True,
        busy=0.99,
        waiting=0.001,
        peak_memory_bytes=1000,
    )


def judge(attempt: Attempt, effort: Effort = Effort.SEARCH, batch: int = 1) -> Measurement:
    return judged(attempt, PLANS[effort].rules, DeviceProfile(batch=batch), effort, NOW)


STEADY = [of(0.010), of(0.0102), of(0.0099)]


def test_processes_that_agree_are_steady() -> None:
    measurement = judge(Attempt(rounds=STEADY, shift=0.01))
    assert measurement.verdict is Verdict.STEADY
    assert measurement.notes == ()
    assert measurement.source is Source.MEASURED
    assert measurement.reference_shift == 0.01
    assert measurement.measured_at == "2025-01-02T03:04:05+00:00"
    assert measurement.hardware_key == hardware_key()


def test_value_is_the_median_of_the_processes_and_the_interval_spans_theirs() -> None:
    p50 = judge(Attempt(rounds=STEADY, shift=0.0)).p50
    assert p50.value_s == pytest.approx(0.010, rel=1e-3)
    assert p50.low_s == pytest.approx(0.0099, rel=1e-3)
    assert p50.high_s == pytest.approx(0.0102, rel=1e-3)


def test_calls_in_phases_are_noisy_though_as_many_of_each_would_be_steady() -> None:
    # Half of the calls at 9.6 and half at 10.4 ms, a fifth between: the median is told if they come in no order.
    values_s = [0.0096] * 400 + [0.00995 + rank * 5e-7 for rank in range(200)] + [0.0104] * 400
    mixed = replace(of(0.010), samples_s=shuffled(values_s))
    assert judge(Attempt(rounds=[mixed] * 3, shift=0.0)).verdict is Verdict.STEADY
    phases = judge(Attempt(rounds=[replace(mixed, samples_s=values_s)] * 3, shift=0.0))
    assert phases.verdict is Verdict.NOISY
    assert re.search(r"interval of a process's median is 8\.\d% wide", phases.notes[0])


def test_bound_is_missing_where_one_process_could_not_tell_it() -> None:
    few = replace(of(0.010), samples_s=of(0.010).samples_s[:100])
    p99 = judge(Attempt(rounds=[STEADY[0], few, STEADY[2]], shift=0.0)).p99
    assert p99.high_s is None
    assert p99.low_s is not None


def test_raw_samples_are_kept_and_throughput_counts_examples() -> None:
    measurement = judge(Attempt(rounds=STEADY, shift=0.0), batch=8)
    assert measurement.samples_s == [round_.samples_s for round_ in STEADY]
    assert measurement.calls is None
    assert measurement.throughput_per_s == pytest.approx(8 / 0.01003, rel=2e-3)


def test_of_many_samples_a_random_part_is_kept_in_order_and_all_are_judged() -> None:
    # Every eighth call is slow, as the same one of eight inputs may be: each eighth sample would show nothing else.
    many = replace(of(0.01), samples_s=[0.02 if call % 8 == 0 else 0.01 + call * 1e-9 for call in range(80_000)])
    measurement = judge(Attempt(rounds=[STEADY[0], many, many], shift=0.0))
    few, kept, again = measurement.samples_s
    assert few == STEADY[0].samples_s
    assert len(kept) == KEPT_SAMPLES
    assert kept == again
    fast = [sample for sample in kept if sample < 0.02]
    assert fast == sorted(fast)
    assert len(kept) / 8 * 0.9 < len(kept) - len(fast) < len(kept) / 8 * 1.1
    assert measurement.p99.value_s == 0.02
    assert measurement.calls == 161_000
    assert measurement.throughput_per_s == pytest.approx(161_000 / (sum(many.samples_s) * 2 + sum(few)))


@pytest.mark.parametrize(
    ("attempt", "note"),
    [
        (Attempt(rounds=[*STEADY[:2], replace(of(0.01), busy=0.6)], shift=0.0), "1 of 3 processes shared their cores"),
        (
            Attempt(rounds=[*STEADY[:2], replace(of(0.01), others=0.4)], shift=0.0),
            "other work took up to 40% of the mach",
        ),
        (Attempt(rounds=[*STEADY[:2], replace(of(0.01), warm=False)], shift=0.0), "1 of 3 processes did not warm up"),
        (Attempt(rounds=[*STEADY[:2], of(0.01, spread=2.0)], shift=0.0), "interval of a process's median is"),
        (Attempt(rounds=[*STEADY[:2], of(0.012)], shift=0.0), "medians lie 2"),
        (Attempt(rounds=[*STEADY[:2], replace(of(0.01), samples_s=[0.01] * 20)], shift=0.0), "only 20 calls"),
        (Attempt(rounds=[*STEADY[:2], replace(of(0.01), samples_s=[0.01] * 2)], shift=0.0), "only 2 calls"),
        (Attempt(rounds=STEADY, shift=math.log(1.2)), r"moved by \+20.0%"),
        (Attempt(rounds=STEADY, shift=math.log(0.8)), r"moved by -20.0%"),
        (Attempt(rounds=STEADY, shift=0.0, is_blind=True), "the reference architecture was disturbed itself"),
    ],
)
def test_each_doubt_makes_it_noisy_and_is_named(attempt: Attempt, note: str) -> None:
    measurement = judge(attempt)
    assert measurement.verdict is Verdict.NOISY
    assert len(measurement.notes) == 1
    assert re.search(note, measurement.notes[0])


@pytest.mark.parametrize("round_", [of(0.01), replace(of(0.01), busy=0.3)])
def test_quick_is_never_more_than_provisional(round_: Round) -> None:
    assert judge(Attempt(rounds=[round_]), Effort.QUICK).verdict is Verdict.PROVISIONAL


def test_disturbed_value_carries_more_variance() -> None:
    quiet = judge(Attempt(rounds=STEADY, shift=0.01)).log_variance
    shared = judge(Attempt(rounds=[*STEADY[:2], replace(of(0.0099), busy=0.5)], shift=0.0)).log_variance
    moved = judge(Attempt(rounds=STEADY, shift=0.2)).log_variance
    held_up = judge(Attempt(rounds=[*STEADY[:2], replace(of(0.0099), waiting=0.5)], shift=0.0))
    assert "ran 50% of the time" in held_up.notes[0]
    assert held_up.log_variance == pytest.approx(shared)
    assert shared > quiet + math.log(2) ** 2 * 0.9
    assert moved > quiet + 0.2**2 * 0.9


def with_tail(p99_s: float) -> Round:
    """A median of 10 ms, and two calls of a hundred near this long."""
    round_ = of(0.010)
    ordered_s = sorted(round_.samples_s)
    tail = [p99_s * (1 + 1e-3 * rank / 40) for rank in range(40)]
    return replace(round_, samples_s=shuffled([*ordered_s[:960], *ordered_s, *tail]))


def asked(attempt: Attempt, *names: QuantileName) -> Measurement:
    return judged(attempt, rules_of(Effort.SEARCH, Device.CPU, names), DeviceProfile(), Effort.SEARCH, NOW)


def test_verdict_and_variance_are_of_the_quantiles_that_count() -> None:
    apart = Attempt(rounds=[with_tail(0.02), with_tail(0.03), with_tail(0.04)], shift=0.0)
    median, tail = asked(apart, QuantileName.P50), asked(apart, QuantileName.P99)
    assert median.verdict is Verdict.STEADY
    assert tail.verdict is Verdict.NOISY
    assert tail.notes == ("the processes' p99s lie 100.0% apart",)
    estimates = [quantile_of_calls(round_.samples_s, 0.99) for round_ in apart.rounds]
    assert tail.log_variance == log_variance(estimates) > median.log_variance
    both = asked(apart, QuantileName.P50, QuantileName.P99)
    assert (both.verdict, both.log_variance) == (tail.verdict, tail.log_variance)


def test_a_steady_tail_is_steady_although_the_medians_are_not() -> None:
    middling = [with_tail(0.05)] * 2
    shifted = replace(with_tail(0.05), samples_s=[s * 1.3 if s < 0.03 else s for s in with_tail(0.05).samples_s])
    attempt = Attempt(rounds=[*middling, shifted], shift=0.0)
    assert asked(attempt, QuantileName.P50).verdict is Verdict.NOISY
    assert asked(attempt, QuantileName.P99).verdict is Verdict.STEADY


def test_a_tail_of_too_few_calls_is_noisy() -> None:
    few = [replace(of(0.010), samples_s=of(0.010).samples_s[:100]) for _ in range(3)]
    measurement = asked(Attempt(rounds=few, shift=0.0), QuantileName.P99)
    assert measurement.verdict is Verdict.NOISY
    assert measurement.notes == ("a process made only 100 calls within 10 s, 368 are wanted",)


def on_gpu(*rounds: Round, runtime: Runtime = Runtime.TORCH) -> Measurement:
    profile = DeviceProfile(device=Device.CUDA, runtime=runtime)
    rules = rules_of(Effort.SEARCH, Device.CUDA, (QuantileName.P50,))
    most_moved = tolerance(Device.CUDA).moved
    return judged(Attempt(rounds=list(rounds), shift=0.0, most_moved=most_moved), rules, profile, Effort.SEARCH, NOW)


GPU_ROUND = replace(
    of(0.010),
    busy=None,
    others=0.0,
    event_share=0.9,
    copy_s=1e-5,
    device_peak_memory_bytes=5000,
    energy_j=0.2,
)


def test_what_an_accelerator_tells_is_kept() -> None:
    rounds = [GPU_ROUND, replace(GPU_ROUND, device_peak_memory_bytes=7000, energy_j=0.4), GPU_ROUND]
    measurement = on_gpu(*rounds)
    assert measurement.verdict is Verdict.STEADY
    assert measurement.event_share == 0.9
    assert measurement.device_peak_memory_bytes == 7000
    assert measurement.energy_j == 0.2
    assert measurement.copy_s == 1e-5


def test_what_a_cpu_cannot_tell_is_none() -> None:
    measurement = judge(Attempt(rounds=STEADY, shift=0.0))
    assert (measurement.event_share, measurement.energy_j, measurement.copy_s) == (None, None, None)
    assert measurement.device_peak_memory_bytes is None


def test_a_gpu_that_waits_for_the_host_is_launch_bound_and_graphs_are_offered() -> None:
    waiting = [replace(GPU_ROUND, event_share=share) for share in (0.4, 0.5, 0.9)]
    measurement = on_gpu(*waiting)
    assert measurement.verdict is Verdict.LAUNCH_BOUND
    [note] = measurement.notes
    assert "works for 50% of a call" in note
    assert "cuda_graphs" in note
    [own] = on_gpu(*waiting, runtime=Runtime.CUDA_GRAPHS).notes
    assert "cuda_graphs" not in own


def test_a_noisy_value_is_noisy_even_where_it_is_launch_bound() -> None:
    measurement = on_gpu(*[replace(GPU_ROUND, event_share=0.4)] * 2, replace(GPU_ROUND, event_share=0.4, warm=False))
    assert measurement.verdict is Verdict.NOISY
    assert len(measurement.notes) == 2


def test_a_slowed_device_is_throttled_and_says_by_what() -> None:
    slowed = replace(GPU_ROUND, slowed="the GPU's clock fell from 1980 to 1400 MHz")
    measurement = on_gpu(GPU_ROUND, slowed, GPU_ROUND)
    assert measurement.verdict is Verdict.THROTTLED
    assert measurement.notes == ("1 of 3 processes were slowed down: the GPU's clock fell from 1980 to 1400 MHz",)


def test_a_throttled_value_carries_the_variance_of_its_slowdown() -> None:
    quiet, slow = (
        on_gpu(*[replace(GPU_ROUND, slowed=reason, slowdown=factor)] * 3)
        for reason, factor in (("", 1.0), ("the GPU's clock fell from 2000 to 1400 MHz", 2000 / 1400))
    )
    assert slow.verdict is Verdict.THROTTLED
    assert slow.log_variance == pytest.approx(quiet.log_variance + math.log(2000 / 1400) ** 2)


def test_a_gpu_that_others_use_is_noisy_and_carries_their_share() -> None:
    quiet, shared = (on_gpu(*[replace(GPU_ROUND, others=share)] * 3) for share in (0.05, 1.0))
    assert quiet.verdict is Verdict.STEADY
    assert shared.verdict is Verdict.NOISY
    assert shared.notes == ("other work took up to 100% of the device's time",)
    assert shared.log_variance == pytest.approx(quiet.log_variance + math.log(2) ** 2)


def test_what_a_gpu_does_not_tell_is_said_and_is_no_doubt() -> None:
    unwatched = on_gpu(GPU_ROUND, replace(GPU_ROUND, others=None), GPU_ROUND)
    assert unwatched.verdict is Verdict.STEADY
    assert unwatched.notes == (UNWATCHED,)
    untimed = on_gpu(*[replace(GPU_ROUND, event_share=None)] * 3, runtime=Runtime.ONNX)
    assert untimed.verdict is Verdict.STEADY
    assert untimed.notes == (NO_OWN_TIME,)
    assert doubts_of(unwatched) == doubts_of(untimed) == ()


def test_what_is_close_on_a_cpu_is_apart_on_an_accelerator() -> None:
    apart = [of(0.010), of(0.0105), of(0.0100)]
    assert judge(Attempt(rounds=apart, shift=0.0)).verdict is Verdict.STEADY
    gpu = [replace(GPU_ROUND, samples_s=each.samples_s) for each in apart]
    assert on_gpu(*gpu).notes == ("the processes' medians lie 5.0% apart",)


def test_an_accelerator_is_believed_to_vary_less() -> None:
    rounds = [of(0.010)] * 3
    cpu = judge(Attempt(rounds=rounds, shift=0.0)).log_variance
    gpu = on_gpu(*(replace(each, busy=None) for each in rounds)).log_variance
    assert gpu == pytest.approx(cpu * (0.02 / 0.05) ** 2)


def test_compiling_is_told_by_the_process_that_found_nothing_compiled() -> None:
    rounds = [replace(of(0.01), compile_s=seconds) for seconds in (30.0, 2.0, 2.1)]
    assert judge(Attempt(rounds=rounds, shift=0.0)).compile_s == 30.0
