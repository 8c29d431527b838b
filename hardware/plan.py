"""How much each effort spends, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from encoders.values import Head
from hardware.quantile import fewest
from hardware.round import Rules
from hardware.values import Device, Effort, QuantileName
from search_space import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What a device that is left alone may vary by.

    `interval` is the widest interval of a process's quantile as a share of it, and of the difference of two windows of
    a warm-up; `moved` how far the reference may move, and the processes lie apart, as a logarithm.
    """

    interval: float
    moved: float


CPU_TOLERANCE = Tolerance(interval=0.05, moved=0.07)
ACCELERATOR_TOLERANCE = Tolerance(interval=0.02, moved=0.03)

ACCELERATOR_WARM_S = 1.0
"""Least warm-up of an accelerator, whose clock rises under load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rules` are those of one process on a CPU.

    `with_reference` measures the reference architecture before and after.
    """

    processes: int
    rules: Rules
    with_reference: bool


PLANS = {
    Effort.QUICK: Plan(
        processes=1,
        rules=Rules(samples=30, least_s=0.5, most_s=5.0, tolerance=None, asks_machine=False),
        with_reference=False,
    ),
    # For p50, 100 calls and at most 30 s in all; of a process, a third of that. Intervals that stay wide for 5 s are
    # not waited for, so that 20 s do for a model whose calls take less than 150 ms.
    Effort.SEARCH: Plan(
        processes=3,
        rules=Rules(samples=34, least_s=3.0, most_s=10.0, tolerance=CPU_TOLERANCE.interval, narrow_most_s=5.0),
        with_reference=True,
    ),
    Effort.REPORT: Plan(
        processes=5,
        rules=Rules(samples=100, least_s=60.0, most_s=90.0, tolerance=CPU_TOLERANCE.interval),
        with_reference=True,
    ),
}

REFERENCE = Architecture(vocabulary_size=1000, layers=2, hidden_size=128, heads=2, head_size=64, ffn_size=512)
REFERENCE_HEAD = Head(classes=2)
REFERENCE_RULES = Rules(samples=30, least_s=0.5, most_s=2.0, tolerance=CPU_TOLERANCE.interval, warm_most_s=2.0)


def tolerance(device: Device) -> Tolerance:
    return ACCELERATOR_TOLERANCE if device.is_accelerator else CPU_TOLERANCE


def rules_of(effort: Effort, device: Device, quantiles: tuple[QuantileName, ...]) -> Rules:
    """What is asked of one process for these quantiles to be told, with both bounds of each by its own calls alone."""
    plan = PLANS[effort]
    if plan.rules.tolerance is None:
        return replace(_on(device, plan.rules), quantiles=quantiles)
    calls = max(fewest(name.share) for name in quantiles)
    return replace(_on(device, plan.rules), quantiles=quantiles, samples=max(plan.rules.samples, calls))


def reference_rules(device: Device) -> Rules:
    """What is asked of the reference architecture's process."""
    return _on(device, REFERENCE_RULES)


def _on(device: Device, rules: Rules) -> Rules:
    if not device.is_accelerator:
        return rules
    interval = None if rules.tolerance is None else ACCELERATOR_TOLERANCE.interval
    return replace(rules, tolerance=interval, warm_least_s=ACCELERATOR_WARM_S)
