"""How long an architecture takes on a device, predicted from some that were measured there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search_space.architecture import Architecture
from search_space.errors import SearchSpaceError
from search_space.latency_features import NAMES, Floats, LatencyFeatures, features_of, features_of_columns
from search_space.space import SearchSpace

MOST_ROWS = 2_000
"""Rows that a model may rest on: what it computes grows with their cube."""

SLACK = 1.25
"""How far beyond the sizes that were measured a prediction is still one."""

CHUNK_ROWS = 1 << 11
"""Points predicted at once: with some hundred rows to compare them with, they stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How predictions of `count` held-out latencies agree with the measured ones.

    `mape` is the mean of |predicted / measured - 1|, `median_ape` the median, `spearman` the rank correlation (None
    where one side has no ranks), `within` the share whose 95 % interval holds what was measured.
    """

    count: int
    mape: float
    median_ape: float
    spearman: float | None
    within: float


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """A Gaussian process over logarithms, as a value: what it was fitted to, and its hyperparameters.

    With z the standardised logarithms of the sizes, and of the estimate `terms @ weights` where there are weights,

        log latency = level + scale * g(z) + noise
        cov(g, g')  = 1 + slopes z.z' / dim z + bends m(|(z - z') / lengths|)
        m(d)        = (1 + s + s^2 / 3) exp(-s), s = sqrt(5) d   (Matern 5/2)

    Args:
        batch, length: of the texts, for the features of architectures.
        names: of the sizes; `centre` and `spread` of their logarithms and, with `weights`, of the estimate's. A spread
            of 0 marks what did not vary: it does not enter z.
        low, high: the sizes that were measured, by name.
        points: (rows, dim z), what it rests on; `values` (log latency - level) / scale there; `noise` their variances,
            large where a row does not fit the others.
        floor: variance of the noise of a row that fits.
        inflation: by how much the standard deviations had to be stretched to cover what was held out.

    Raises:
        SearchSpaceError: lengths that do not fit, or numbers out of range.

    References: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1.
    """

    batch: int
    length: int
    names: tuple[str, ...]
    weights: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    points: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    noise: tuple[float, ...]
    level: float
    scale: float
    slopes: float
    bends: float
    lengths: tuple[float, ...]
    floor: float
    inflation: float = 1.0

    def __post_init__(self) -> None:
        rows, varying = len(self.points), sum(spread > 0 for spread in self.spread)
        features = len(self.names) + bool(self.weights)
        if not 1 <= rows <= MOST_ROWS:
            raise SearchSpaceError(f"a latency model rests on 1 to {MOST_ROWS:,} rows, got {rows:,}")
        fits = (
            len(self.low) == len(self.high) == len(self.names)
            and len(self.centre) == len(self.spread) == features
            and len(self.values) == len(self.noise) == rows
            and len(self.lengths) == varying
            and all(len(point) == varying for point in self.points)
        )
        if not fits:
            raise SearchSpaceError("the parts of a latency model do not fit each other")
        every = np.concatenate(
            [
                np.array([self.level, self.scale, self.slopes, self.bends, self.floor, self.inflation]),
                *(np.array(part) for part in (self.weights, self.centre, self.spread, self.values, self.noise)),
                np.array(self.points).ravel(),
            ]
        )
        positive = [self.batch, self.length, self.scale, self.inflation, *self.noise, *self.lengths, *self.low]
        if not np.isfinite(every).all() or min(positive) <= 0 or min(self.slopes, self.bends, self.floor) < 0:
            raise SearchSpaceError("a number of the latency model is out of range")

    def predict(self, space: SearchSpace) -> tuple[Floats, Floats]:
        """Natural logarithms of the latency in seconds of all points of the space, in the order of its columns, and
        their standard deviations, both (size,).
        """
        means, deviations = np.empty(space.size), np.empty(space.size)
        start = 0
        for points in space.chunks(CHUNK_ROWS):
            rows = slice(start, start + points.count)
            features = features_of_columns(points, batch=self.batch, length=self.length)
            means[rows], deviations[rows] = self.log_latency(features)
            start = rows.stop
        return means, deviations

    def predict_architectures(self, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """As `predict`, of these architectures."""
        return self.log_latency(features_of(architectures, batch=self.batch, length=self.length))

    def log_latency(self, features: LatencyFeatures) -> tuple[Floats, Floats]:
        """As `predict`, of each row of features, which are named as those that it was fitted to.

        Raises:
            SearchSpaceError: they are other features.
        """
        if features.names != self.names:
            raise SearchSpaceError(f"the model was fitted to {', '.join(self.names)}; got {', '.join(features.names)}")
        if self.weights and features.terms.shape[1] != len(self.weights):
            raise SearchSpaceError(f"the model weighs {len(self.weights)} terms; got {features.terms.shape[1]}")
        points = self._standardised(features)
        covariance = self._covariance(points)
        mean = covariance @ self._solution
        own = 1.0 + self.bends + self.slopes * np.square(points).sum(axis=1) / max(1, points.shape[1])
        explained = np.square(covariance @ self._inverse_factor.T).sum(axis=1)
        variance = np.maximum(own - explained, 0.0) + self.floor
        return self.level + self.scale * mean, self.inflation * self.scale * np.sqrt(variance)

    def covers(self, space: SearchSpace) -> bool:
        """Whether every shape of the space lies within those that were measured: options are the same, and no size is
        beyond by more than `SLACK`.
        """
        chunks = (features_of_columns(points, batch=self.batch, length=self.length) for points in space.chunks())
        return self.names == NAMES and all(self._within(features) for features in chunks)

    def covers_architecture(self, architecture: Architecture) -> bool:
        """As `covers`, of this one."""
        return self.names == NAMES and self._within(features_of([architecture], batch=self.batch, length=self.length))

    def _within(self, features: LatencyFeatures) -> bool:
        # A switch is on or off: e or 1, further apart than the slack.
        low, high = features.sizes.min(axis=0), features.sizes.max(axis=0)
        return bool((low >= np.array(self.low) / SLACK).all() and (high <= np.array(self.high) * SLACK).all())

    def _standardised(self, features: LatencyFeatures) -> Floats:
        logs = np.log(features.sizes)
        if self.weights:
            logs = np.column_stack([logs, log_estimate(features.terms, np.array(self.weights))])
        spread = np.array(self.spread)
        varying = spread > 0
        standardised: Floats = (logs[:, varying] - np.array(self.centre)[varying]) / spread[varying]
        return standardised

    def _covariance(self, points: Floats) -> Floats:
        """(points, rows) of the process at these points with its rows."""
        return covariance(points, self._points, np.array(self.lengths), self.slopes, self.bends)

    @cached_property
    def _points(self) -> Floats:
        return np.array(self.points, dtype=np.float64).reshape(len(self.points), len(self.lengths))

    @cached_property
    def _inverse_factor(self) -> Floats:
        """The inverse of the Cholesky factor of the rows' covariance."""
        factor = np.linalg.cholesky(self._covariance(self._points) + np.diag(self.noise))
        inverse: Floats = np.linalg.inv(factor)
        return inverse

    @cached_property
    def _solution(self) -> Floats:
        solution: Floats = self._inverse_factor.T @ (self._inverse_factor @ np.array(self.values))
        return solution


def covariance(points: Floats, others: Floats, lengths: Floats, slopes: float, bends: float) -> Floats:
    """(points, others) as `LatencyModel` says."""
    dimensions = max(1, points.shape[1])
    product = points @ (others * (slopes / dimensions)).T
    a, b = points / lengths, others / lengths
    squared: Floats = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2.0 * (a @ b.T)
    np.maximum(squared, 0.0, out=squared)
    root = np.sqrt(5.0 * squared)
    squared *= 5.0 / 3.0
    squared += root
    squared += 1.0
    np.negative(root, out=root)
    squared *= np.exp(root, out=root)
    squared *= bends
    squared += product
    squared += 1.0
    return squared


def log_estimate(terms: Floats, weights: Floats) -> Floats:
    """Logarithm of the weighted sum of the terms, kept above that of nothing."""
    logs: Floats = np.log(np.maximum(terms @ weights, 1e-12))
    return logs
