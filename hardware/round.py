"""One round: one architecture, timed in this one process."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoders.values import Head
from hardware.backend import Backend, Prepared, backend
from hardware.contention import Occupancy, OccupancyMeter
from hardware.cores import pin
from hardware.quantile import quantile
from hardware.values import DeviceProfile, Quantile, QuantileName
from search_space import Architecture

WINDOW = 10
"""Calls of a warm-up window; two successive ones must agree. Shorter only where calls are too slow for two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a round is warm and when it has seen enough.

    Warm: at least `WINDOW` calls and `warm_least_s`, and the medians of the last two windows differ by less than
    `tolerance`; after `warm_most_s` it goes on regardless. Enough: `samples` calls, `least_s` seconds of calls, and an
    interval of each of `quantiles` narrower than `tolerance` of it; after `most_s` it stops regardless. `tolerance` of
    None asks nothing of the intervals and 5 % of the windows.
    """

    samples: int
    least_s: float
    most_s: float
    tolerance: float | None
    warm_least_s: float = 0.5
    warm_most_s: float = 5.0
    quantiles: tuple[QuantileName, ...] = (QuantileName.P50,)

    def enough(self, samples_s: list[float]) -> bool:
        timed_s = sum(samples_s)
        if timed_s >= self.most_s:
            return True
        if len(samples_s) < self.samples or timed_s < self.least_s:
            return False
        if self.tolerance is None:
            return True
        widths = (relative_width(quantile(samples_s, QuantileName(name).share)) for name in self.quantiles)
        return all(width < self.tolerance for width in widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one process saw. `samples_s` are all timed calls, in order.

    `peak_memory_bytes` is the largest resident set of the process: runtime, weights and activations together. Weights
    that were read from a checkpoint count twice, because the file and the model are there at the same time.
    """

    samples_s: list[float]
    load_s: float
    compile_s: float
    first_call_s: float
    warm: bool
    busy: float
    waiting: float | None
    peak_memory_bytes: int

    @property
    def occupancy(self) -> Occupancy:
        return Occupancy(busy=self.busy, waiting=self.waiting)

    @property
    def contended(self) -> bool:
        return self.occupancy.contended


def relative_width(estimate: Quantile) -> float:
    """Width of the interval as a share of the value; infinite where a bound is missing."""
    if estimate.low_s is None or estimate.high_s is None:
        return float("inf")
    return (estimate.high_s - estimate.low_s) / estimate.value_s


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Time what `request` describes in this process, which should be a fresh one; plain values in and out."""
    profile = DeviceProfile(**request["profile"])
    checkpoint = request["checkpoint"]
    pin(profile.threads)
    round_ = timed(
        backend(profile),
        Architecture.from_dict(request["architecture"]),
        Head(**request["head"]),
        profile,
        Rules(**request["rules"]),
        seed=request["seed"],
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
    return asdict(round_)


def timed(
    runtime: Backend,
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    rules: Rules,
    *,
    seed: int,
    checkpoint: Path | None = None,
) -> Round:
    """Load, first call, warm-up, then each call timed alone until the rules have enough."""
    prepared = runtime.prepare(architecture, head, profile, seed, checkpoint)
    first_call_s = prepared.stopwatch.seconds(prepared.call)
    # Pauses of the garbage collector are the surrounding program's, not the model's.
    gc.collect()
    gc.disable()
    try:
        warm = warm_up(prepared, rules)
        meter = OccupancyMeter()
        samples_s = sample(prepared, rules)
        occupancy = meter.read()
    finally:
        gc.enable()
    return Round(
        samples_s=samples_s,
        load_s=prepared.load_s,
        compile_s=prepared.compile_s,
        first_call_s=first_call_s,
        warm=warm,
        busy=occupancy.busy,
        waiting=occupancy.waiting,
        peak_memory_bytes=peak_memory_bytes(),
    )


def warm_up(prepared: Prepared, rules: Rules) -> bool:
    """Call until the last two windows agree; False if they did not within the limit."""
    tolerance = 0.05 if rules.tolerance is None else rules.tolerance
    calls_s: list[float] = []
    timed_s = 0.0
    while timed_s < rules.warm_most_s:
        calls_s.append(prepared.stopwatch.seconds(prepared.call))
        timed_s += calls_s[-1]
        if len(calls_s) % WINDOW == 0 and timed_s >= rules.warm_least_s and _steady(calls_s, tolerance):
            return True
    return _steady(calls_s, tolerance)


def _steady(calls_s: list[float], tolerance: float) -> bool:
    """Whether the medians of the last two windows differ by less than `tolerance` of the first."""
    window = min(WINDOW, len(calls_s) // 2)
    if not window:
        return False
    before, now = statistics.median(calls_s[-2 * window : -window]), statistics.median(calls_s[-window:])
    return abs(now - before) < tolerance * before


def sample(prepared: Prepared, rules: Rules) -> list[float]:
    """The durations of calls timed each alone, until the rules have enough."""
    samples_s: list[float] = []
    timed_s = 0.0
    look_s = min(rules.least_s, rules.most_s)
    while True:
        samples_s.append(prepared.stopwatch.seconds(prepared.call))
        timed_s += samples_s[-1]
        if timed_s < look_s:
            continue
        if rules.enough(samples_s):
            return samples_s
        # Sorting thousands of samples between two calls would cool the caches: look again 5 % later.
        look_s = min(timed_s * 1.05, rules.most_s)


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
