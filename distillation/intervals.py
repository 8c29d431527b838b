"""95 % intervals.

A metric is resampled as a function of weights: how often each example was drawn.

Shapes: N examples, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from distillation.encoding import Floats

CONFIDENCE_Z = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % on either side."""
RESAMPLES = 2000
MOST_CELLS = 2_000_000
"""Of what is drawn at once: of confusion matrices of many classes, or of weights of many examples."""

Weighted = Callable[[Floats], Floats]
"""From weights (R, N) to the metric of each resample (R,)."""


def wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of a share observed in `count` independent trials.

    References: Wilson, JASA 22 (1927), 209-212.
    """
    z = CONFIDENCE_Z
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At shares of 0 and 1 the bounds are these, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def bootstrap(metric: Weighted, count: int, seed: int) -> tuple[float, float]:
    """The percentiles of the metric over samples of `count` examples, drawn with replacement.

    References: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    random = np.random.default_rng(seed)
    values = []
    for size in _sizes(count):
        drawn = random.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        values.append(metric(weights.astype(np.float64)))
    return _percentiles(np.concatenate(values))


def bootstrap_counts(metric: Weighted, counts: Floats, seed: int) -> tuple[float, float]:
    """As `bootstrap`, where examples are equal: drawing them is drawing the cells of a table of counts."""
    random = np.random.default_rng(seed)
    total = int(counts.sum())
    values = []
    for size in _sizes(counts.size):
        drawn = random.multinomial(total, (counts / total).ravel(), size=size)
        values.append(metric(drawn.reshape(size, *counts.shape).astype(np.float64)))
    return _percentiles(np.concatenate(values))


def _sizes(cells: int) -> list[int]:
    at_once = max(1, MOST_CELLS // cells)
    return [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]


def _percentiles(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
