"""From rounds to a measurement and its verdict."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Iterator
from datetime import datetime

from hardware.attempt import Attempt
from hardware.environment import environment, hardware_key
from hardware.plan import tolerance
from hardware.quantile import quantile_of_calls
from hardware.round import Rules, relative_width
from hardware.spread import log_variance
from hardware.values import Device, DeviceProfile, Effort, Measurement, Quantile, QuantileName, Runtime, Source, Verdict

LEAST_EVENT_SHARE = 0.7
"""Below this share of the wall clock for the device's own time, a call waits for the host: it is launch-bound."""

KEPT_SAMPLES = 10_000
"""Samples of a process that a measurement carries: a report of fast calls would have several hundred thousand."""

UNWATCHED = (
    "NVIDIA's management library cannot be asked (extra `cuda`), or does not tell all: other work on the GPU, or a"
    " clock that fell, may not have been seen"
)
NO_OWN_TIME = "the device's own time is not known, so that it cannot be told whether it waits for its host"


def judged(attempt: Attempt, rules: Rules, profile: DeviceProfile, effort: Effort, now: datetime) -> Measurement:
    """What the rounds of an attempt, taken on this machine, say together."""
    rounds = attempt.rounds
    samples_s = [round_.samples_s for round_ in rounds]
    seen = {name: [quantile_of_calls(samples, name.share) for samples in samples_s] for name in QuantileName}
    asked = {name: seen[name] for name in rules.quantiles}
    kept = [_kept(samples) for samples in samples_s]
    calls = sum(map(len, samples_s))
    doubts = tuple(_doubts(attempt, asked, rules, profile.device))
    event_share = _median(round_.event_share for round_ in rounds)
    stamp = environment(profile)
    prior = tolerance(profile.device).interval
    return Measurement(
        profile=profile,
        effort=effort,
        source=Source.MEASURED,
        verdict=_verdict(effort, attempt, doubts, _waits(event_share)),
        p50=_across(seen[QuantileName.P50]),
        p90=_across(seen[QuantileName.P90]),
        p99=_across(seen[QuantileName.P99]),
        throughput_per_s=profile.batch * calls / sum(map(sum, samples_s)),
        load_s=statistics.median(round_.load_s for round_ in rounds),
        first_call_s=statistics.median(round_.first_call_s for round_ in rounds),
        compile_s=max(round_.compile_s for round_ in rounds),
        peak_memory_bytes=max(round_.peak_memory_bytes for round_ in rounds),
        log_variance=max(log_variance(estimates, _disturbance(attempt), prior) for estimates in asked.values()),
        hardware_key=hardware_key(stamp),
        environment=stamp,
        samples_s=kept,
        measured_at=now.isoformat(),
        notes=(*doubts, *_unwatched(attempt, profile.device), *_advice(event_share, profile)),
        reference_s=attempt.reference_s,
        reference_shift=attempt.shift,
        voided=attempt.voided,
        calls=calls if calls > sum(map(len, kept)) else None,
        copy_s=_median(round_.copy_s for round_ in rounds),
        event_share=event_share,
        device_peak_memory_bytes=max(
            filter(None, (round_.device_peak_memory_bytes for round_ in rounds)), default=None
        ),
        energy_j=_median(round_.energy_j for round_ in rounds),
    )


def _verdict(effort: Effort, attempt: Attempt, doubts: tuple[str, ...], launch_bound: bool) -> Verdict:
    """The worst that is known of it."""
    if effort is Effort.QUICK:
        return Verdict.PROVISIONAL
    if any(round_.slowed for round_ in attempt.rounds):
        return Verdict.THROTTLED
    if doubts:
        return Verdict.NOISY
    return Verdict.LAUNCH_BOUND if launch_bound else Verdict.STEADY


def doubts_of(measurement: Measurement) -> tuple[str, ...]:
    """Of its notes those that speak against its value. That a GPU waits for the host is the model's doing, and what it
    does not tell is none of its own.
    """
    advice = (UNWATCHED, *_advice(measurement.event_share, measurement.profile))
    return tuple(note for note in measurement.notes if note not in advice)


def _waits(event_share: float | None) -> bool:
    return event_share is not None and event_share < LEAST_EVENT_SHARE


def _unwatched(attempt: Attempt, device: Device) -> tuple[str, ...]:
    """What is said where a GPU did not tell whether it was left alone; that of a TPU has one user at a time."""
    is_told = device is not Device.CUDA or all(round_.others is not None for round_ in attempt.rounds)
    return () if is_told else (UNWATCHED,)


def _advice(event_share: float | None, profile: DeviceProfile) -> Iterator[str]:
    if event_share is None:
        if profile.device.is_accelerator:
            yield NO_OWN_TIME
    elif _waits(event_share):
        offer = "" if profile.runtime is Runtime.CUDA_GRAPHS else "; runtime cuda_graphs may be faster"
        yield f"the GPU works for {event_share:.0%} of a call and waits for the host in the rest{offer}"


def _doubts(attempt: Attempt, asked: dict[QuantileName, list[Quantile]], rules: Rules, device: Device) -> Iterator[str]:
    """What speaks against calling the attempt steady; `asked` has the processes' own quantiles."""
    rounds = attempt.rounds
    shared = [round_.occupancy for round_ in rounds if round_.occupancy.shared]
    if shared:
        least = min(occupancy.undisturbed for occupancy in shared)
        yield f"{len(shared)} of {len(rounds)} processes shared their cores, one ran {least:.0%} of the time"
    crowded = [round_.others for round_ in rounds if round_.others is not None and round_.occupancy.crowded]
    if crowded:
        where = "the device's time" if device.is_accelerator else "the machine's cores, or of its own, meanwhile"
        yield f"other work took up to {max(crowded):.0%} of {where}"
    slowed = [round_.slowed for round_ in rounds if round_.slowed]
    if slowed:
        yield f"{len(slowed)} of {len(rounds)} processes were slowed down: {slowed[0]}"
    cold = sum(not round_.warm for round_ in rounds)
    if cold:
        yield f"{cold} of {len(rounds)} processes did not warm up to a steady pace within {rules.warm_most_s:g} s"
    fewest = min(len(round_.samples_s) for round_ in rounds)
    if fewest < rules.samples:
        yield f"a process made only {fewest} calls within {rules.most_s:g} s, {rules.samples} are wanted"
    for name, estimates in asked.items():
        words = "median" if name is QuantileName.P50 else str(name)
        width = max(relative_width(estimate) for estimate in estimates)
        # What has no bound has too few calls, which is said above.
        if rules.tolerance is not None and rules.tolerance <= width < math.inf:
            yield f"the interval of a process's {words} is {width:.1%} wide, more than {rules.tolerance:.0%}"
        values_s = [estimate.value_s for estimate in estimates]
        apart = math.log(max(values_s) / min(values_s))
        if apart > attempt.most_moved:
            yield f"the processes' {words}s lie {math.expm1(apart):.1%} apart"
    if attempt.is_blind:
        yield "the reference architecture was disturbed itself: it does not tell whether the machine moved"
    if attempt.moved and attempt.shift is not None:
        yield f"the reference architecture's latency moved by {math.expm1(attempt.shift):+.1%} meanwhile"


def _disturbance(attempt: Attempt) -> float:
    """Logarithm of the factor by which the machine may have moved the value.

    A process that ran for a share of the time takes up to 1 / share as long; beside work that takes a share of the
    machine, 1 + share is assumed; a device that was slowed down and a moved reference show their factors.
    """
    contended = [round_ for round_ in attempt.rounds if round_.contended]
    shared = [-math.log(round_.occupancy.undisturbed) for round_ in contended]
    beside = [math.log1p(round_.others or 0.0) for round_ in contended]
    slowed = [math.log(round_.slowdown) for round_ in attempt.rounds]
    moved = abs(attempt.shift) if attempt.moved and attempt.shift is not None else 0.0
    return max([moved, *shared, *beside, *slowed])


def _median(values: Iterable[float | None]) -> float | None:
    """Of what is known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _kept(samples_s: list[float]) -> list[float]:
    if len(samples_s) <= KEPT_SAMPLES:
        return samples_s
    # At random, not every k-th: the inputs rotate, and of eight a step of eight would keep the calls of one.
    chosen = random.Random(0).sample(range(len(samples_s)), KEPT_SAMPLES)  # noqa: S311 (no secret)
    return [samples_s[call] for call in sorted(chosen)]


def _across(estimates: list[Quantile]) -> Quantile:
    """Median of the processes' values, hull of their intervals; no bound where one process could not tell its own."""
    lows = [estimate.low_s for estimate in estimates if estimate.low_s is not None]
    highs = [estimate.high_s for estimate in estimates if estimate.high_s is not None]
    return Quantile(
        value_s=statistics.median(estimate.value_s for estimate in estimates),
        low_s=min(lows) if len(lows) == len(estimates) else None,
        high_s=max(highs) if len(highs) == len(estimates) else None,
    )
