"""Means over seeds, and the tables that show them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from scipy.stats import t

CONFIDENCE = 0.95


def mean_and_spread(values: Sequence[float]) -> str:
    """`0.781 [0.778, 0.783]`: the mean, the least and the greatest value."""
    if not values or any(math.isnan(value) for value in values):
        return "diverged"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def paired(values: Sequence[float], to: Sequence[float]) -> str:
    """`+0.012 (+0.004 to +0.020)`: the mean difference over seeds, and where there are two its 95 % t interval."""
    differences = [value - other for value, other in zip(values, to, strict=True)]
    if any(math.isnan(difference) for difference in differences):
        return ""
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f}"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * error
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
