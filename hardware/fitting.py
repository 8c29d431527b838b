"""A latency model from measured rows, some of which may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize, nnls
from scipy.stats import spearmanr

from hardware.errors import MeasurementError
from search_space.latency_features import Floats, LatencyFeatures
from search_space.latency_model import Agreement, LatencyModel, covariance, log_estimate

FEWEST = 8
"""Rows below which nothing is fitted."""

FOLDS = 5
ROUNDS = 8
"""How often rows are weighed anew before the weights are taken as they are."""

TOO_FAST, TOO_SLOW = 4.685, 3.0
"""Robust deviations at which a row counts no more. Tukey's constant for the fast side, with 95 % of the efficiency of
least squares where all errors are normal; less for the slow one, as a disturbed machine is slower and never faster.
"""

LEAST_SPREAD = 0.02
"""Least robust deviation of the logarithms, in units of which rows are judged: where the model is closer than machines
are steady, the row that it misses most is as good as the others.
"""

LEAST_WEIGHT = 1e-4
CLOSE = 0.02
"""Change of the weights below which they have settled."""

LEVEL_LENGTH = 3.0
"""Prior of a length: a size whose whole range of about three deviations hardly bends the latency."""

_LENGTHS, _SIGNALS, _NOISES = (-2.0, 6.0), (-9.0, 6.0), (-14.0, 2.0)
"""Bounds of the logarithms of lengths, of slopes and bends, and of the noise's variance."""


class FitError(MeasurementError):
    """Nothing can be fitted to these rows; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A model with its errors on rows that it was not fitted to.

    `agreement` is cross-validated over all rows, their predictions being `log_means` and `log_deviations`;
    `ill_fitting` are the rows that hardly count, because they lie far from what all others say.
    """

    model: LatencyModel
    agreement: Agreement
    log_means: Floats
    log_deviations: Floats
    ill_fitting: tuple[int, ...]


def fit_latency(
    features: LatencyFeatures,
    latencies_s: Sequence[float] | Floats,
    *,
    log_variances: Sequence[float] | Floats | None = None,
    batch: int = 1,
    length: int = 1,
    seed: int = 0,
) -> Fitted:
    """The model of these latencies, with its cross-validated errors; its intervals cover what was held out.

    Args:
        log_variances: of each latency's logarithm as an observation, where known. Only by how much a row is more
            doubtful than most counts: how far they all lie from the truth is seen better from how they lie.
        batch, length: for which the features of architectures are counted.

    Raises:
        FitError: fewer than `FEWEST` rows, or a latency that is not above 0.
    """
    values = np.asarray(latencies_s, dtype=np.float64)
    if len(values) != len(features):
        raise FitError(f"{len(values)} latencies for {len(features)} rows")
    if len(values) < FEWEST:
        raise FitError(f"a latency model needs at least {FEWEST} measured architectures, got {len(values)}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise FitError("a latency must be finite and above 0 s")
    logs = np.log(values)
    doubts = np.ones(len(logs)) if log_variances is None else _doubts(log_variances)
    means, deviations = _held_out(features, logs, doubts, seed)
    # The quantile that one deviation is of a normal variable: a few wrong rows do not move it.
    inflation = max(1.0, float(np.quantile(np.abs(means - logs) / deviations, 0.6827)))
    model, ill_fitting = _fitted(features, logs, doubts)
    model = replace(model, inflation=inflation, batch=batch, length=length)
    return Fitted(
        model=model,
        agreement=agreement(means, inflation * deviations, logs),
        log_means=means,
        log_deviations=inflation * deviations,
        ill_fitting=ill_fitting,
    )


def agreement(log_means: Floats, log_deviations: Floats, logs: Floats) -> Agreement:
    """How predictions agree with the logarithms of what was measured."""
    errors = np.abs(np.expm1(log_means - logs))
    ranked = len(logs) > 2 and np.ptp(log_means) > 0 and np.ptp(logs) > 0
    return Agreement(
        count=len(logs),
        mape=float(errors.mean()),
        median_ape=float(np.median(errors)),
        spearman=float(spearmanr(log_means, logs).statistic) if ranked else None,
        within=float((np.abs(log_means - logs) <= 1.96 * log_deviations).mean()),
    )


def _doubts(log_variances: Sequence[float] | Floats) -> Floats:
    """How many times as large as the usual one the variance of each row's noise is, at least once."""
    variances = np.asarray(log_variances, dtype=np.float64)
    usual = max(float(np.median(variances)), 1e-12)
    doubts: Floats = np.clip(variances / usual, 1.0, 1.0 / LEAST_WEIGHT)
    return doubts


def _held_out(features: LatencyFeatures, logs: Floats, doubts: Floats, seed: int) -> tuple[Floats, Floats]:
    """Each row predicted by a model of the other folds."""
    fold = np.random.default_rng(seed).permutation(len(logs)) % FOLDS
    means, deviations = np.empty(len(logs)), np.empty(len(logs))
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        model, _ = _fitted(features.take(inside), logs[inside], doubts[inside])
        means[outside], deviations[outside] = model.log_latency(features.take(outside))
    return means, deviations


def _fitted(features: LatencyFeatures, logs: Floats, doubts: Floats) -> tuple[LatencyModel, tuple[int, ...]]:
    """The model, and the rows that do not fit it."""
    weights = _term_weights(features.terms, logs)
    columns = np.log(features.sizes)
    if len(weights):
        columns = np.column_stack([columns, log_estimate(features.terms, weights)])
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread[spread < 1e-9] = 0.0
    varying = spread > 0
    points = (columns[:, varying] - centre[varying]) / spread[varying]
    level = float(np.median(logs))
    scale = max(_robust_deviation(logs - level), 1e-6)
    process = _Process(points, (logs - level) / scale, doubts, least_spread=LEAST_SPREAD / scale)
    ill_fitting = process.fit()
    model = LatencyModel(
        batch=1,
        length=1,
        names=features.names,
        weights=tuple(weights.tolist()),
        low=tuple(features.sizes.min(axis=0).tolist()),
        high=tuple(features.sizes.max(axis=0).tolist()),
        centre=tuple(centre.tolist()),
        spread=tuple(spread.tolist()),
        points=tuple(map(tuple, points.tolist())),
        values=tuple(process.values.tolist()),
        noise=tuple(process.noise.tolist()),
        level=level,
        scale=scale,
        slopes=process.slopes,
        bends=process.bends,
        lengths=tuple(process.lengths.tolist()),
        floor=process.floor,
    )
    return model, ill_fitting


class _Process:
    """The Gaussian process of `LatencyModel`, whose hyperparameters maximise the posterior.

    Rows are weighed by Tukey's biweight of what the others say of them: of a row of weight w the noise has the variance
    floor * doubt / w, so one that is far off hardly counts.
    """

    def __init__(self, points: Floats, values: Floats, doubts: Floats, *, least_spread: float = 1e-9) -> None:
        self.points, self.values, self._least_spread = points, values, least_spread
        self._doubts = doubts
        self._weights = np.ones(len(values))
        self._dimensions = points.shape[1]
        self._squares = [np.square(column[:, None] - column) for column in points.T]
        self._product = points @ points.T / max(1, self._dimensions)
        self._state = np.array([np.log(LEVEL_LENGTH)] * self._dimensions + [0.0, 0.0, np.log(1e-2)])

    @property
    def lengths(self) -> Floats:
        lengths: Floats = np.exp(self._state[: self._dimensions])
        return lengths

    @property
    def slopes(self) -> float:
        return float(np.exp(self._state[-3]))

    @property
    def bends(self) -> float:
        return float(np.exp(self._state[-2]))

    @property
    def floor(self) -> float:
        return float(np.exp(self._state[-1]))

    @property
    def noise(self) -> Floats:
        return self.floor * self._doubts / self._weights + 1e-8

    def fit(self) -> tuple[int, ...]:
        """Fits and weighs in turns; the rows that hardly count in the end."""
        bounds = [_LENGTHS] * self._dimensions + [_SIGNALS, _SIGNALS, _NOISES]
        for _ in range(ROUNDS):
            found = minimize(self._loss, self._state, jac=True, method="L-BFGS-B", bounds=bounds)
            self._state = found.x
            residuals = self._left_out()
            spread = max(_robust_deviation(residuals), self._least_spread)
            weights = np.maximum(_biweight(residuals / spread), LEAST_WEIGHT)
            settled = np.abs(weights - self._weights).max() < CLOSE
            self._weights = weights
            if settled:
                break
        return tuple(np.flatnonzero(self._weights < 0.1).tolist())

    def _left_out(self) -> Floats:
        """What each row is beyond what all others say of it.

        References: Rasmussen and Williams (2006), eq. 5.12.
        """
        whole = covariance(self.points, self.points, self.lengths, self.slopes, self.bends) + np.diag(self.noise)
        inverse = np.linalg.inv(whole)
        residuals: Floats = (inverse @ self.values) / np.diag(inverse)
        return residuals

    def _loss(self, state: Floats) -> tuple[float, Floats]:
        """-log posterior of the hyperparameters, and its gradient.

        References: Rasmussen and Williams (2006), eq. 5.8 and 5.9.
        """
        d = self._dimensions
        scales = np.exp(-2.0 * state[:d])
        slopes, bends, floor = np.exp(state[d:])
        root = np.sqrt(5.0 * sum((s * square for s, square in zip(scales, self._squares, strict=True)), np.zeros(1)))
        decay = np.exp(-root)
        bent = bends * (1.0 + root + root * root / 3.0) * decay
        own = floor * self._doubts / self._weights
        whole = bent + slopes * self._product + 1.0 + np.diag(own + 1e-8)
        try:
            factor = np.linalg.cholesky(whole)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(state)
        inverse = np.linalg.inv(whole)
        solution = inverse @ self.values
        outer = inverse - np.outer(solution, solution)
        steep = outer * (bends * 5.0 / 3.0 * (1.0 + root) * decay)
        gradient = np.empty_like(state)
        gradient[:d] = [0.5 * s * (steep * square).sum() for s, square in zip(scales, self._squares, strict=True)]
        gradient[d:] = 0.5 * np.array(
            [slopes * (outer * self._product).sum(), (outer * bent).sum(), np.diag(outer) @ own]
        )
        centre = np.append(np.full(d, np.log(LEVEL_LENGTH)), np.log(1e-3))
        away = np.append(state[:d], state[-1]) - centre
        widths = np.append(np.ones(d), 2.0)
        loss = 0.5 * self.values @ solution + np.log(np.diag(factor)).sum() + 0.5 * np.square(away / widths).sum()
        prior = away / widths**2
        gradient[:d] += prior[:d]
        gradient[-1] += prior[-1]
        return float(loss), gradient


def _term_weights(terms: Floats, logs: Floats) -> Floats:
    """Weights, none below 0, with which the terms' sum is about the latency; relative errors count, wrong rows do not.

    Empty where there are no terms.
    """
    if not terms.shape[1]:
        return np.empty(0)
    latencies, size = np.exp(logs), np.maximum(terms.max(axis=0), 1e-300)
    relative = terms / size / latencies[:, None]
    trust = np.ones(len(logs))
    found = np.zeros(terms.shape[1])
    for _ in range(ROUNDS):
        root = np.sqrt(trust)
        found, _ = nnls(relative * root[:, None], root)
        residuals = -log_estimate(relative, found)  # measured beyond estimated
        residuals -= np.median(residuals)
        trust = np.maximum(_biweight(residuals / max(_robust_deviation(residuals), LEAST_SPREAD)), LEAST_WEIGHT)
    return np.asarray(found / size)


def _biweight(residuals: Floats) -> Floats:
    """Tukey's biweight of residuals in units of their spread; above 0 are rows that are slower than expected.

    References: Beaton and Tukey (1974), Technometrics 16(2).
    """
    width = np.where(residuals > 0, TOO_SLOW, TOO_FAST)
    return np.square(np.maximum(1.0 - np.square(residuals / width), 0.0))


def _robust_deviation(values: Floats) -> float:
    """Standard deviation by the median of the absolute values, as if they were normal around 0."""
    return float(1.4826 * np.median(np.abs(values)))
