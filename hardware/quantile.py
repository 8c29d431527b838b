"""Quantiles with distribution-free confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from hardware.values import Quantile

CONFIDENCE = 0.95


def quantile(samples: Sequence[float], q: float) -> Quantile:
    """The `q` quantile of `samples`, in any order, with its 95 % interval.

    The value is the order statistic of rank ceil(n q): a sample that was seen, never an interpolated one. The interval
    lies between the order statistics of `interval_ranks` and assumes nothing of the distribution but that the
    samples are independent. A bound is None where there are too few samples for it.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("a quantile needs at least one sample")
    ordered = sorted(samples)
    low, high = interval_ranks(len(ordered), q)
    return Quantile(
        value_s=ordered[_rank(len(ordered), q) - 1],
        low_s=None if low is None else ordered[low - 1],
        high_s=None if high is None else ordered[high - 1],
    )


@lru_cache(maxsize=4096)
def interval_ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """The ranks (from 1) of the order statistics that enclose the `q` quantile of `n` samples.

    With B ~ Binomial(n, q) the number of samples at or below the quantile and a = (1 - confidence) / 2: the largest l
    with P(B < l) <= a and the smallest u with P(B >= u) <= a. None where no rank of 1 ... n satisfies it.

    References: David and Nagaraja, Order Statistics (2003), section 7.1.

    Raises:
        ValueError: n below 1, or q outside (0, 1).
    """
    if n < 1 or not 0 < q < 1:
        raise ValueError(f"n must be at least 1 and q inside (0, 1), got n={n}, q={q}")
    tail = (1 - CONFIDENCE) / 2
    first, masses = _binomial(n, q)
    low = high = None
    below = 0.0
    for count, mass in enumerate(masses, start=first):
        if below > tail:
            break
        low = count  # P(B < count) <= tail
        below += mass
    above = 0.0
    for count in range(first + len(masses) - 1, first - 1, -1):
        above += masses[count - first]
        if above > tail:
            break
        high = count  # P(B >= count) <= tail
    return (low if low else None), high


def _rank(n: int, q: float) -> int:
    return max(1, math.ceil(n * q - 1e-9))


def _binomial(n: int, q: float) -> tuple[int, list[float]]:
    """The smallest count kept and the masses from there up. What lies 12 deviations out, below 1e-30, is not kept."""
    reach = 12 * math.sqrt(n * q * (1 - q)) + 12
    first, last = max(0, math.floor(n * q - reach)), min(n, math.ceil(n * q + reach))
    log_choose = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    masses = [math.exp(log_choose + first * math.log(q) + (n - first) * math.log1p(-q))]
    odds = q / (1 - q)
    for count in range(first, last):
        masses.append(masses[-1] * (n - count) / (count + 1) * odds)
    return first, masses
