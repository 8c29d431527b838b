"""Correlations of values, of weighted examples.

Shapes: N examples, R resamples.
"""

from __future__ import annotations

import numpy as np

from distillation.encoding import Floats

LEAST_SPREAD = 1e-12
"""Share of the variance of all examples below which a sample has but one value."""


def pearson(weights_RN: Floats, one_RN: Floats, other_RN: Floats) -> Floats:
    """sum w (x - mean x) (y - mean y) / sqrt(sum w (x - mean x)^2 * sum w (y - mean y)^2), (R,).

    0 where either side has but one value. The values are (N,), or (R, N) where they are each sample's own.
    """
    total_R1 = weights_RN.sum(axis=-1, keepdims=True)
    deviations = []
    for values in (one_RN, other_RN):
        mean_R1 = (weights_RN * values).sum(axis=-1, keepdims=True) / total_R1
        deviations.append(values - mean_R1)
    spreads = [(weights_RN * each**2).sum(axis=-1) for each in deviations]
    least = [LEAST_SPREAD * max(float(np.var(values)), LEAST_SPREAD) for values in (one_RN, other_RN)]
    varies = (spreads[0] > least[0]) & (spreads[1] > least[1])
    covariance = (weights_RN * deviations[0] * deviations[1]).sum(axis=-1)
    scale = np.sqrt(np.where(varies, spreads[0] * spreads[1], 1.0))
    result: Floats = np.clip(covariance / scale, -1.0, 1.0) * varies
    return result


def spearman(weights_RN: Floats, one_N: Floats, other_N: Floats) -> Floats:
    """Pearson's correlation of the ranks within each sample.

    Samples drawn with replacement have ties, which lower it where it is almost 1: of 150 examples, the bootstrap's 95 %
    interval held a true 0.86 in 95.5 % of 200 samples, but a true 0.98 in 82 %.
    """
    return pearson(weights_RN, ranks(weights_RN, one_N), ranks(weights_RN, other_N))


def ranks(weights_RN: Floats, values_N: Floats) -> Floats:
    """The rank (R, N) that each example has in the sample; equal values share the mean of their ranks."""
    _, group_N = np.unique(values_N, return_inverse=True)
    order = np.argsort(group_N, kind="stable")
    starts = np.flatnonzero(np.diff(group_N[order], prepend=-1))
    of_group_RG = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    before_RG = np.cumsum(of_group_RG, axis=1) - of_group_RG
    result: Floats = (before_RG + (of_group_RG + 1) / 2)[:, group_N]
    return result
