"""How uncertain a measured median is, from what its processes show."""

from __future__ import annotations

import math
import statistics

from hardware.values import Quantile

PRIOR_DEVIATION = 0.05
"""Standard deviation of a process's log median that is believed before any is seen: the procedure's tolerance on a CPU.
"""

PRIOR_WEIGHT = 2
"""Degrees of freedom that the prior counts for, as many as three processes have."""

Z95 = 1.96

MEDIAN_VARIANCE = {1: 1.0, 2: 0.5, 3: 0.449, 4: 0.298, 5: 0.287}
"""Variance of the median of n standard normal values (Sarhan and Greenberg 1962)."""


def log_variance(medians: list[Quantile], disturbance: float = 0.0, prior_deviation: float = PRIOR_DEVIATION) -> float:
    """Variance of the logarithm of the median of `medians`, one per process: their medians, or another quantile.

    `disturbance` is the logarithm of a factor by which something known may have moved them all; its square is added.

    Between processes: s0^2 the prior variance (`prior_deviation`) of weight w, s^2 that of the k processes' log values:

        between = (w s0^2 + (k - 1) s^2) / (w + k - 1)

    times the variance of a median of k. So one process has the prior's variance, to which its interval's is added (with
    more processes s^2 contains that already), and three that agree by chance are not taken for exact: the prior is a
    floor, of weight w / (w + k - 1).
    """
    count = len(medians)
    values = [math.log(median.value_s) for median in medians]
    seen = (count - 1) * statistics.variance(values) if count > 1 else 0.0
    between = (PRIOR_WEIGHT * prior_deviation**2 + seen) / (PRIOR_WEIGHT + count - 1)
    within = _within(medians[0], prior_deviation) if count == 1 else 0.0
    # Beyond the table the median of n normal values has variance pi / 2n.
    return between * MEDIAN_VARIANCE.get(count, math.pi / (2 * count)) + within + disturbance**2


def _within(median: Quantile, prior_deviation: float) -> float:
    """Variance that the interval of one process's quantile stands for.

    Without an interval it is the prior's again; of half an interval, which is what too few samples for a tail show, the
    other half is taken for as wide, and no less than the prior.
    """
    if median.low_s is None or median.high_s is None:
        bound_s = median.low_s or median.high_s or median.value_s
        return max(prior_deviation, abs(math.log(bound_s / median.value_s)) / Z95) ** 2
    return (math.log(median.high_s / median.low_s) / (2 * Z95)) ** 2
