"""Quantiles with distribution-free confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hardware.values import Quantile

CONFIDENCE = 0.95

MOST_GROUPS = 1 << 14
"""Of more samples than these, autocorrelations are those of the means of so many groups of neighbours."""


def quantile(samples: Sequence[float], q: float) -> Quantile:
    """The `q` quantile of independent `samples`, in any order, with its 95 % interval.

    The value is the order statistic of rank ceil(n q): a sample that was seen, never an interpolated one. The interval
    lies between the order statistics of `interval_ranks` and assumes nothing of the distribution but that the
    samples are independent. A bound is None where there are too few samples for it.

    Raises:
        ValueError: no samples.
    """
    return _quantile(samples, q, len(samples))


def quantile_of_calls(samples_s: Sequence[float], q: float) -> Quantile:
    """The `q` quantile of the durations of calls in the order in which they were made, with its 95 % interval.

    A call resembles the one before, so that n of them tell as much as n / t independent ones (`dependence`); the
    interval is as wide as that many would have it. Calls that hardly change while they are timed would be worth fewer
    than an interval needs. They count for as many as it needs: it holds nearly all of the samples then.

    Raises:
        ValueError: no samples.
    """
    count = len(samples_s)
    worth = count if count < 2 else int(count / dependence(samples_s, q))
    return _quantile(samples_s, q, max(worth, min(count, fewest(q))))


@lru_cache
def fewest(q: float) -> int:
    """The fewest samples whose `q` quantile has both bounds."""
    # P(B = 0) and P(B = n) are at most the tail.
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(q, 1 - q)))


def dependence(samples: Sequence[float], q: float) -> float:
    """t, by how much the variance of the `q` quantile exceeds that of independent samples; at least 1.

    With I(i) = 1 where sample i is at most the quantile and r(k) their autocorrelation at lag k

        t = 1 + 2 sum over k >= 1 of r(k)

    summed in pairs of lags until a pair is not above 0. What alternates is not taken for better than independent. Of
    many samples, whose spectrum would take more memory than the model, g neighbours are one: with v the variance of the
    means of I over groups, p that of I, and t(g) the sum of their autocorrelations

        t = g v / p t(g)

    References: Heidelberger and Lewis (1984), Operations Research 32(1) (quantiles); Geyer (1992), Statistical Science
    7(4), section 3.3 (the initial positive sequence).
    """
    values = np.asarray(samples, dtype=np.float64)
    below = values <= np.partition(values, _rank(len(values), q) - 1)[_rank(len(values), q) - 1]
    size = math.ceil(len(values) / MOST_GROUPS)
    means = below[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    share = float(below.mean())
    alone, grouped = share * (1 - share), float(means.var())
    if not (alone > 0 and grouped > 0):  # all are on one side
        return 1.0
    return max(1.0, size * grouped / alone * _sum_of_autocorrelations(means))


def _sum_of_autocorrelations(values: npt.NDArray[np.float64]) -> float:
    """1 + 2 sum over k >= 1 of r(k), as far as pairs of lags are above 0."""
    count = len(values)
    spectrum = np.fft.rfft(values - values.mean(), 1 << (2 * count - 1).bit_length())
    covariances = np.fft.irfft(np.square(np.abs(spectrum)))[: count // 2 * 2]
    pairs = (covariances[::2] + covariances[1::2]) / covariances[0]
    ends = np.flatnonzero(pairs <= 0)
    return float(2 * pairs[: ends[0] if len(ends) else None].sum() - 1)


def _quantile(samples: Sequence[float], q: float, worth: int) -> Quantile:
    """With the interval that `worth` independent samples would have, at the same places among these."""
    if not samples:
        raise ValueError("a quantile needs at least one sample")
    ordered = sorted(samples)
    count = len(ordered)
    low, high = interval_ranks(worth, q)
    scale = (count + 1) / (worth + 1)
    return Quantile(
        value_s=ordered[_rank(count, q) - 1],
        low_s=None if low is None else ordered[math.floor(low * scale) - 1],
        high_s=None if high is None else ordered[min(math.ceil(high * scale), count) - 1],
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
