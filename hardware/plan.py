"""How much each effort spends, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from encoders.values import Head
from hardware.round import Rules
from hardware.values import Effort
from search_space import Architecture

TOLERANCE = 0.05
"""On a CPU: widest interval of a process's median, as a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rules` are those of one process; `with_reference` measures the reference architecture before and after."""

    processes: int
    rules: Rules
    with_reference: bool


PLANS = {
    Effort.QUICK: Plan(
        processes=1, rules=Rules(samples=30, least_s=0.5, most_s=5.0, tolerance=None), with_reference=False
    ),
    # 100 samples and at most 30 s in all; of a process, a third of that.
    Effort.SEARCH: Plan(
        processes=3, rules=Rules(samples=34, least_s=3.0, most_s=10.0, tolerance=TOLERANCE), with_reference=True
    ),
    Effort.REPORT: Plan(
        processes=5, rules=Rules(samples=100, least_s=60.0, most_s=90.0, tolerance=TOLERANCE), with_reference=True
    ),
}

REFERENCE = Architecture(vocabulary_size=1000, layers=2, hidden_size=128, heads=2, head_size=64, ffn_size=512)
REFERENCE_HEAD = Head(classes=2)
REFERENCE_RULES = Rules(samples=30, least_s=0.5, most_s=2.0, tolerance=TOLERANCE, warm_most_s=2.0)
