"""Gaussian processes of one metric over the rows of a space. Importing this module imports BoTorch and torch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optimization.features import Features, Rows
from optimization.observations import FEWEST_FULL, Observations, Values
from optimization.quiet import quiet
from optimization.values import LARGEST_VALUE

with quiet():
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.multitask import MultiTaskGP
    from botorch.posteriors.gpytorch import GPyTorchPosterior
    from gpytorch.constraints import GreaterThan  # type: ignore[import-untyped]
    from gpytorch.likelihoods import FixedNoiseGaussianLikelihood  # type: ignore[import-untyped]
    from gpytorch.means import ConstantMean  # type: ignore[import-untyped]
    from gpytorch.mlls import ExactMarginalLogLikelihood  # type: ignore[import-untyped]
    from gpytorch.priors import LogNormalPrior  # type: ignore[import-untyped]
    from gpytorch.utils.cholesky import psd_safe_cholesky  # type: ignore[import-untyped]
    from torch import Tensor

LEAST_NOISE = 1e-5
"""Variance of the noise, of standardised values: keeps matrices positive definite."""

LEAST_VARIANCE = 1e-200
"""Of what is known for certain: far below that of any metric, whatever its unit."""

MOST_NOISE = 1e12
"""Variance of the noise, of standardised values: one that noisy tells nothing any more."""

NOISE_STEP = 0.25
"""Of the noise's logarithm: no closer is it known."""

FARTHEST = 1000.0
"""Standardised values that hyperparameters were not fitted to are no larger."""

ROUNDING = 1e-14
"""Values that spread by a smaller share of their size are all alike."""

MOST_FITTED = 200
"""Observations that hyperparameters are fitted to: a fit takes the cube of it. Predictions use all of them."""

EVERY = 12
"""Up to so many observations, hyperparameters are fitted to each new one."""

GROWTH = 1.1

MOST_REMEMBERED = 64

MOST_ITERATIONS = 75

DOUBT = 3.0
"""Observations that a predictor's own deviations weigh as much as."""

REACH = 0.5
"""Distance of features over which a predictor's errors are alike."""


Hyperparameters = dict[str, Tensor]

_fits: dict[bytes, Hyperparameters] = {}
"""By what they were fitted to: saves time and changes nothing."""


@dataclass(frozen=True, slots=True)
class Belief:
    """Normal distribution over some rows, on the metric's modelled scale: (rows,) and (rows, rows)."""

    mean: Tensor
    covariance: Tensor


class Surrogate(Protocol):
    def belief(self, rows: Rows) -> Belief: ...


class Exact:
    """A metric of which nothing is uncertain: its logarithms, (space.size,) or of the rows asked for."""

    def __init__(self, logarithms: Callable[[Rows], Values]) -> None:
        self._logarithms = logarithms

    def belief(self, rows: Rows) -> Belief:
        mean = torch.from_numpy(np.ascontiguousarray(self._logarithms(rows), dtype=np.float64))
        return Belief(mean, torch.zeros(len(rows), len(rows), dtype=torch.float64))


class Predicted:
    """A predictor's logarithms, corrected by what was measured since.

    The predictor's error r(x) has its own deviation s(x), half of its variance shared between similar architectures:
    cov(r(x), r(x')) = c s(x) s(x') (exp(-|x - x'|^2 / 2 l^2) + [x = x']) / 2. Where the measured errors are larger than
    the predictor said, c grows with them, so that a predictor that is far off loses its say.
    """

    def __init__(self, features: Features, means: Values, deviations: Values, observed: Observations) -> None:
        self._features, self._means, self._deviations = features, means, np.maximum(deviations, 1e-6)
        self._observed = observed
        errors = observed.values - means[observed.rows]
        said = self._deviations[observed.rows] ** 2 + observed.variances
        self._scale = max(1.0, (float(np.sum(errors**2 / said)) + DOUBT) / (observed.count + DOUBT))
        self._errors = torch.from_numpy(errors)

    def belief(self, rows: Rows) -> Belief:
        seen = self._observed
        mean, covariance = torch.from_numpy(self._means[rows]), self._covariance(rows, rows)
        if not seen.count:
            return Belief(mean, covariance)
        noise = torch.from_numpy(seen.variances + 1e-8)
        root = psd_safe_cholesky(self._covariance(seen.rows, seen.rows) + torch.diag(noise))
        weights = torch.linalg.solve_triangular(root, self._covariance(seen.rows, rows), upper=False)
        explained = torch.linalg.solve_triangular(root, self._errors[:, None], upper=False)
        return Belief(mean + (weights.T @ explained)[:, 0], covariance - weights.T @ weights)

    def _covariance(self, rows: Rows, others: Rows) -> Tensor:
        points, other = (torch.from_numpy(self._features.of(each)) for each in (rows, others))
        near = torch.exp(-0.5 * torch.cdist(points, other).square() / REACH**2)
        same = torch.from_numpy((rows[:, None] == others[None, :]).astype(np.float64))
        here, there = (torch.from_numpy(self._deviations[each]) for each in (rows, others))
        return 0.5 * self._scale * here[:, None] * there[None, :] * (near + same)


class GaussianProcess:
    """Fitted to the observations of one metric, of which there is at least one.

    Values are standardised; features go as they are, with the priors on lengthscales that BoTorch scales by their
    number. Noise is what the trials tell, plus a part that is learned: seeds of training are in no trial's interval.
    Where values of full fidelity are there too, both fidelities are modelled as correlated tasks with a difference of
    level, and the belief is about full fidelity.

    References: arXiv:2402.02229 (Hvarfner et al. 2024: lengthscale priors by dimension).
    """

    def __init__(self, features: Features, observed: Observations, seed: int, timeout_s: float | None = None) -> None:
        self._features = features
        self._two = int(observed.full.sum()) >= FEWEST_FULL
        if not self._two:
            observed = observed.at_flash()
        largest = float(np.abs(observed.values).max())
        if largest > LARGEST_VALUE:
            raise ArithmeticError(f"a value of {observed.metric} is too large to be modelled: {largest:g}")
        chosen = _chosen(observed, seed)
        self._rise = _rise(observed) if self._two else 0.0
        values = observed.values - self._rise * observed.full
        self._centre = float(np.mean(values[chosen]))
        self._unit = _unit(values, chosen, observed.logarithmic)
        self.rows = observed.rows
        self.points = self._points(observed.rows, observed.full)
        standardised = (values - self._centre) / self._unit
        standardised[np.abs(standardised) < ROUNDING] = 0.0
        self.values = torch.from_numpy(standardised)[:, None]
        self.noise = torch.from_numpy(_noise(observed.variances, self._unit))
        with quiet():
            learned = _learned(self.points[chosen], self.values[chosen], self.noise[chosen], self._two, timeout_s)
            self.model = _unfitted(self.points, self.values, self.noise, self._two)
            self.model.load_state_dict(learned, strict=False)
            self.model.eval()

    def belief(self, rows: Rows) -> Belief:
        return self.in_unit(self.standardised(rows))

    def standardised(self, rows: Rows) -> Belief:
        with quiet(), torch.no_grad():
            posterior = self.model.posterior(self._points(rows, np.ones(len(rows), dtype=np.bool_)))
            assert isinstance(posterior, GPyTorchPosterior)
            return Belief(posterior.mvn.mean, posterior.mvn.covariance_matrix)

    def in_unit(self, belief: Belief) -> Belief:
        return Belief(belief.mean * self._unit + self._centre + self._rise, belief.covariance * self._unit**2)

    def left_out(self) -> tuple[Tensor, Tensor]:
        """What the model, without each observation in turn, says of it: means and deviations, (observations,).

        References: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", eq. 5.12.
        """
        with quiet(), torch.no_grad():
            self.model.train()
            prior = self.model.forward(self.points)
            noisy = self.model.likelihood(prior)
            self.model.eval()
            inverse = torch.linalg.inv(noisy.covariance_matrix)
            precision = inverse.diagonal()
            values = self.values[:, 0]
            return values - inverse @ (values - prior.mean) / precision, precision.rsqrt()

    def _points(self, rows: Rows, full: npt.NDArray[np.bool_]) -> Tensor:
        points = torch.from_numpy(self._features.of(rows))
        return torch.cat([points, torch.from_numpy(full.astype(np.float64))[:, None]], dim=1) if self._two else points


def _learned(points: Tensor, values: Tensor, noise: Tensor, two: bool, timeout_s: float | None) -> Hyperparameters:
    """The hyperparameters of largest posterior probability, by L-BFGS; remembered: one fit serves many suggestions.

    Every fit begins at the same place, not where an earlier one ended, so that a restart changes no suggestion.
    """
    key = b"".join(each.numpy().tobytes() for each in (points, values, noise)) + bytes([two])
    key = hashlib.sha256(key).digest()
    if key in _fits:
        return _fits[key]
    begin_s = time.monotonic()
    model = _unfitted(points, values, noise, two)
    options = {"options": {"maxiter": MOST_ITERATIONS}, "timeout_sec": timeout_s}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a fit that fails begins again somewhere else, and there every time
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs=options)
    learned = {name: value.detach().clone() for name, value in model.named_parameters()}
    if timeout_s is None or time.monotonic() - begin_s < timeout_s:  # else cut short, and good for nothing else
        while len(_fits) >= MOST_REMEMBERED:
            del _fits[next(iter(_fits))]
        _fits[key] = learned
    return learned


def _unfitted(points: Tensor, values: Tensor, noise: Tensor, two: bool) -> SingleTaskGP:
    likelihood = FixedNoiseGaussianLikelihood(noise=noise, learn_additional_noise=True)
    learned = likelihood.second_noise_covar
    prior = LogNormalPrior(loc=-5.0, scale=1.5)
    # A fit that fails begins again with noise drawn from this, so it must know how to set it.
    learned.register_prior(
        "noise_prior", prior, lambda module: module.noise, lambda module, value: module.initialize(noise=value)
    )
    learned.register_constraint("raw_noise", GreaterThan(LEAST_NOISE))
    learned.initialize(noise=0.01)
    if two:
        return MultiTaskGP(
            points,
            values,
            task_feature=-1,
            output_tasks=[1],
            likelihood=likelihood,
            # One for both: a level of its own, learned from a few finalists that lie close together, explains them
            # all, and then nothing is left that flash values could tell. The levels are made alike before.
            mean_module=ConstantMean(),
            outcome_transform=None,
        )
    return SingleTaskGP(points, values, likelihood=likelihood, outcome_transform=None)


def _unit(values: Values, chosen: Rows, logarithmic: bool) -> float:
    """The standard deviation of those that were chosen, unless the others are far from them; of values that are all
    alike their size, and of logarithms 1."""
    spread, largest = float(np.std(values[chosen])), float(np.abs(values).max())
    spread = max(spread, float(np.ptp(values)) / FARTHEST)
    if spread > ROUNDING * largest:
        return spread
    return 1.0 if logarithmic or largest < 1 / LARGEST_VALUE else largest


def _noise(variances: Values, unit: float) -> Values:
    """Variances of standardised values, to a seventh: pooled ones change a little with every trial, and a fit that is
    remembered is to serve the next."""
    with np.errstate(over="ignore"):
        noise = np.clip(np.square(np.sqrt(variances) / unit), LEAST_NOISE, MOST_NOISE)
    rounded: Values = np.exp(np.round(np.log(noise) / NOISE_STEP) * NOISE_STEP)
    return rounded


def _rise(observed: Observations) -> float:
    """How much higher values are at full fidelity, from the rows that have both, or else from the means."""
    flash = dict(zip(observed.rows[~observed.full].tolist(), observed.values[~observed.full].tolist(), strict=True))
    pairs = [
        value - flash[row]
        for row, value in zip(observed.rows[observed.full].tolist(), observed.values[observed.full], strict=True)
        if row in flash
    ]
    if pairs:
        return float(np.mean(pairs))
    return float(np.mean(observed.values[observed.full]) - np.mean(observed.values[~observed.full])) if flash else 0.0


def _chosen(observed: Observations, seed: int) -> Rows:
    """The observations that hyperparameters are fitted to: a number of the first ones that grows by steps of a tenth,
    so that a fit serves several suggestions and what it is fitted to still depends on the arguments alone; and all of
    full fidelity, which are few."""
    first = count = observed.count
    if count > EVERY:
        steps = math.floor(math.log(count / EVERY) / math.log(GROWTH) + 1e-9)
        first = math.floor(EVERY * GROWTH**steps + 1e-9)
    chosen = np.arange(first)
    if first > MOST_FITTED:
        chosen = np.random.default_rng(seed).choice(first, size=MOST_FITTED, replace=False)
    return np.union1d(chosen, np.flatnonzero(observed.full))
