"""How good a classifier is, and how sure that is.

Metrics are computed from the confusion matrix: counts[truth, prediction].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch

from distillation.batches import Encoded, Integers
from distillation.values import Estimate, Metric
from encoders.modeling_stillhouse import StillhouseTaskModel

Floats = npt.NDArray[np.float64]

BATCH_SIZE = 128
CONFIDENCE_Z = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % on either side."""
RESAMPLES = 2000
MOST_CELLS = 2_000_000
"""Of the confusion matrices that are drawn at once: those of many classes are large."""


def predict(model: StillhouseTaskModel, texts: Encoded, device: torch.device) -> Integers:
    """The most probable class of each example; the model is left in evaluation mode."""
    model.train(False)
    predictions = np.zeros(len(texts), dtype=np.int64)
    with torch.inference_mode():
        for indices, batch in texts.by_length(BATCH_SIZE):
            there = batch.to(device)
            logits = model(there.input_ids, there.attention_mask, there.token_type_ids).logits
            predictions[indices] = logits.argmax(dim=-1).cpu().numpy()
    return predictions


def score(metric: Metric, truth: Integers, predictions: Integers, classes: int) -> float:
    """The metric of these predictions."""
    return float(_formula(metric)(_confusion(truth, predictions, classes)))


def estimate(metric: Metric, truth: Integers, predictions: Integers, classes: int, *, seed: int = 0) -> Estimate:
    """The metric with its 95 % interval: Wilson's for accuracy, else the bootstrap's percentiles.

    References: Wilson, JASA 22 (1927), 209-212; Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    counts = _confusion(truth, predictions, classes)
    value = float(_formula(metric)(counts))
    count = int(counts.sum())
    low, high = wilson(value, count) if metric is Metric.ACCURACY else _bootstrap(metric, counts, seed)
    return Estimate(value=value, low=low, high=high, examples=count)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of a share observed in `count` independent trials."""
    z = CONFIDENCE_Z
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At shares of 0 and 1 the bounds are these, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def accuracy(counts: Floats) -> Floats:
    """Share of the diagonal; `counts` is (..., C, C), the result (...)."""
    result: Floats = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return result


def macro_f1(counts: Floats) -> Floats:
    """Mean of 2 * hits / (truths + predictions) over the classes that occur in either."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    either = counts.sum(axis=-1) + counts.sum(axis=-2)
    scores = 2 * hits / np.maximum(either, 1)
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


def _formula(metric: Metric) -> Callable[[Floats], Floats]:
    match metric:
        case Metric.ACCURACY:
            return accuracy
        case Metric.MACRO_F1:
            return macro_f1
        case Metric.MATTHEWS:
            return matthews
        case _:
            assert_never(metric)


def _confusion(truth: Integers, predictions: Integers, classes: int) -> Floats:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, predictions), 1)
    return counts


def _bootstrap(metric: Metric, counts: Floats, seed: int) -> tuple[float, float]:
    # Drawing examples with replacement is drawing the cells of the confusion matrix.
    total = int(counts.sum())
    random = np.random.default_rng(seed)
    at_once = max(1, MOST_CELLS // counts.size)
    values: list[float] = []
    while len(values) < RESAMPLES:
        size = min(at_once, RESAMPLES - len(values))
        drawn = random.multinomial(total, (counts / total).ravel(), size=size)
        values.extend(_formula(metric)(drawn.reshape(size, *counts.shape).astype(np.float64)))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
