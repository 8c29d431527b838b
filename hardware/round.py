"""One round: one architecture, timed in this one process."""

from __future__ import annotations

import gc
import math
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoders.values import Head
from hardware.backend import INPUTS, Backend, Prepared, backend
from hardware.contention import Occupancy, OccupancyMeter, others_on
from hardware.cores import pin
from hardware.nvml import gpu
from hardware.quantile import quantile_of_calls
from hardware.throttling import watch
from hardware.values import Device, DeviceProfile, Quantile, QuantileName
from search_space import Architecture

WINDOW = 10
"""Calls of a warm-up window; two successive ones must agree. Shorter only where calls are too slow for two of them."""


WATCH_S = 0.25
"""Seconds of calls between two looks at the device."""

MOST_GAUGED_S = 3.0
"""How long a round may go on asking for the device's own time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a round is warm and when it has seen enough.

    Warm: at least two windows of calls and `warm_least_s`, and the medians of the last two differ by less than
    `tolerance`; after `warm_most_s` it goes on regardless. Enough: `samples` calls, `least_s` seconds of calls, and an
    interval of each of `quantiles` narrower than `tolerance` of it, for which it goes on until `narrow_most_s`; after
    `most_s` it stops regardless. `tolerance` of None asks nothing of the intervals and 5 % of the windows.
    `asks_machine` says whether other work on a machine's cores makes a round void.
    """

    samples: int
    least_s: float
    most_s: float
    tolerance: float | None
    warm_least_s: float = 0.5
    warm_most_s: float = 5.0
    narrow_most_s: float = math.inf
    quantiles: tuple[QuantileName, ...] = (QuantileName.P50,)
    asks_machine: bool = True

    def enough(self, samples_s: list[float]) -> bool:
        timed_s = sum(samples_s)
        if timed_s >= self.most_s:
            return True
        if len(samples_s) < self.samples or timed_s < self.least_s:
            return False
        if self.tolerance is None or timed_s >= self.narrow_most_s:
            return True
        widths = (relative_width(quantile_of_calls(samples_s, QuantileName(name).share)) for name in self.quantiles)
        return all(width < self.tolerance for width in widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one process saw. `samples_s` are all timed calls, in order.

    `peak_memory_bytes` is the largest resident set of the process until it is warm: runtime, weights and activations
    together, and nothing of the samples. Weights
    that were read from a checkpoint count twice, because the file and the model are there at the same time. `slowed`
    says what slowed the device down, empty if nothing was seen to, and `slowdown` the factor by which calls may have
    taken longer for it. `busy` is None where the calling thread may sleep; what only an accelerator can tell, and this
    one or its runtime does not, is None.
    """

    samples_s: list[float]
    load_s: float
    compile_s: float
    first_call_s: float
    warm: bool
    busy: float | None
    waiting: float | None
    peak_memory_bytes: int
    others: float | None = None
    slowed: str = ""
    slowdown: float = 1.0
    copy_s: float | None = None
    event_share: float | None = None
    device_peak_memory_bytes: int | None = None
    energy_j: float | None = None

    @property
    def occupancy(self) -> Occupancy:
        return Occupancy(busy=self.busy, waiting=self.waiting, others=self.others)

    @property
    def contended(self) -> bool:
        return self.occupancy.contended

    @property
    def disturbed(self) -> bool:
        """Whether it tells of something else than the model, and is void as a whole."""
        return self.contended or bool(self.slowed)


def relative_width(estimate: Quantile) -> float:
    """Width of the interval as a share of the value; infinite where a bound is missing."""
    if estimate.low_s is None or estimate.high_s is None:
        return float("inf")
    return (estimate.high_s - estimate.low_s) / estimate.value_s


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Time what `request` describes in this process, which should be a fresh one; plain values in and out."""
    # The processes of one measurement share a temporary folder, and what a compiler keeps there.
    tempfile.tempdir = request["scratch"]
    # As the GPU's management library numbers them, so that both mean the same one.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
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
    with gpu() if profile.device is Device.CUDA else nullcontext() as told:
        beside = None if told is None else others_on(told)
        prepared = runtime.prepare(architecture, head, profile, seed, checkpoint)
        first_call_s = prepared.stopwatch.seconds(prepared.call)
        # Pauses of the garbage collector are the surrounding program's, not the model's.
        gc.collect()
        gc.disable()
        try:
            warm = warm_up(prepared, rules)
            # Before the samples: millions of fast calls take more memory than the model.
            peak_bytes = peak_memory_bytes()
            # An accelerator shares little with other cores.
            machine = rules.asks_machine and not profile.device.is_accelerator
            meter = OccupancyMeter(caller_computes=prepared.caller_computes, machine=machine)
            watched = watch(told, profile.device)
            samples_s = sample(prepared, rules, watched.look)
            occupancy, energy_j = meter.read(), watched.energy_j()
            slowed = watched.slowed()
            event_share = _event_share(prepared, statistics.median(samples_s))
        finally:
            gc.enable()
    return Round(
        samples_s=samples_s,
        load_s=prepared.load_s,
        compile_s=prepared.compile_s,
        copy_s=prepared.copy_s,
        first_call_s=first_call_s,
        warm=warm,
        busy=occupancy.busy,
        waiting=occupancy.waiting,
        others=occupancy.others if beside is None else beside,
        slowed="" if slowed is None else slowed.reason,
        slowdown=1.0 if slowed is None else slowed.factor,
        peak_memory_bytes=peak_bytes,
        event_share=event_share,
        device_peak_memory_bytes=None if prepared.gauge is None else prepared.gauge.peak_memory_bytes(),
        energy_j=None if energy_j is None else energy_j / (len(samples_s) * profile.batch),
    )


def _event_share(prepared: Prepared, call_s: float) -> float | None:
    """Median of the device's own time / that of the wall clock: calls of their own, so that no event is timed."""
    if prepared.gauge is None:
        return None
    calls = max(3, min(4 * INPUTS, int(MOST_GAUGED_S / call_s)))
    busy_s = [prepared.gauge.busy_s(prepared.call, call_s) for _ in range(calls)]
    told_s = [seconds for seconds in busy_s if seconds is not None]
    return statistics.median(told_s) / call_s if told_s else None


def warm_up(prepared: Prepared, rules: Rules) -> bool:
    """Call until the last two windows agree; False if they did not within the limit."""
    tolerance = 0.05 if rules.tolerance is None else rules.tolerance
    calls_s: list[float] = []
    timed_s = 0.0
    while timed_s < rules.warm_most_s:
        calls_s.append(prepared.stopwatch.seconds(prepared.call))
        timed_s += calls_s[-1]
        whole_windows = len(calls_s) >= 2 * WINDOW and len(calls_s) % WINDOW == 0
        if whole_windows and timed_s >= rules.warm_least_s and _steady(calls_s, tolerance):
            return True
    return _steady(calls_s, tolerance)


def _steady(calls_s: list[float], tolerance: float) -> bool:
    """Whether the medians of the last two windows differ by less than `tolerance` of the first."""
    window = min(WINDOW, len(calls_s) // 2)
    if not window:
        return False
    before, now = statistics.median(calls_s[-2 * window : -window]), statistics.median(calls_s[-window:])
    return abs(now - before) < tolerance * before


def sample(prepared: Prepared, rules: Rules, look: Callable[[], None] = lambda: None) -> list[float]:
    """The durations of calls timed each alone, until the rules have enough; `look` is called between some of them."""
    samples_s: list[float] = []
    timed_s = 0.0
    watch_s, judge_s = WATCH_S, min(rules.least_s, rules.most_s)
    while True:
        samples_s.append(prepared.stopwatch.seconds(prepared.call))
        timed_s += samples_s[-1]
        if timed_s >= watch_s:
            look()
            watch_s = timed_s + WATCH_S
        if timed_s < judge_s:
            continue
        if rules.enough(samples_s):
            return samples_s
        # Sorting thousands of samples between two calls would cool the caches: judge again 5 % later.
        judge_s = min(timed_s * 1.05, rules.most_s)


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
