"""Metrics of classes, computed from the confusion matrix: counts[truth, prediction].

`counts` is (..., C, C), the results are (...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from distillation.encoding import Floats, Integers
from distillation.values import Metric


def confusion(truth: Integers, predictions: Integers, classes: int) -> Floats:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, predictions), 1)
    return counts


def accuracy(counts: Floats) -> Floats:
    """Share of the diagonal."""
    result: Floats = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return result


def second_f1(counts: Floats) -> Floats:
    """2 * hits / (truths + predictions) of the second of two classes; 0 where it occurs in neither."""
    result: Floats = _f1(counts)[0][..., 1]
    return result


def macro_f1(counts: Floats) -> Floats:
    """Mean of 2 * hits / (truths + predictions) over the classes that occur in either."""
    scores, either = _f1(counts)
    result: Floats = scores.sum(axis=-1) / np.maximum((either > 0).sum(axis=-1), 1)
    return result


def matthews(counts: Floats) -> Floats:
    """Matthews' correlation for any number of classes; 0 where either side has only one class.

    References: Gorodkin, Computational Biology and Chemistry 28 (2004), 367-374, eq. 8.
    """
    truths, predictions = counts.sum(axis=-1), counts.sum(axis=-2)
    total = counts.sum(axis=(-2, -1))
    covariance = np.trace(counts, axis1=-2, axis2=-1) * total - (truths * predictions).sum(axis=-1)
    spread = (total**2 - (truths**2).sum(axis=-1)) * (total**2 - (predictions**2).sum(axis=-1))
    result: Floats = covariance / np.sqrt(np.where(spread > 0, spread, 1)) * (spread > 0)
    return result


FORMULAS: Mapping[Metric, Callable[[Floats], Floats]] = {
    Metric.ACCURACY: accuracy,
    Metric.F1: second_f1,
    Metric.MACRO_F1: macro_f1,
    Metric.MATTHEWS: matthews,
}


def _f1(counts: Floats) -> tuple[Floats, Floats]:
    either = counts.sum(axis=-1) + counts.sum(axis=-2)
    return 2 * np.diagonal(counts, axis1=-2, axis2=-1) / np.maximum(either, 1), either
