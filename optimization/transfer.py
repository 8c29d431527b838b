"""What earlier studies of the same space tell of a metric: a rank-weighted ensemble of their models and the own one.

Each model i, of a source or of the study itself (t), predicts a standardised metric with mean m_i and covariance C_i.
The ensemble has mean sum w_i m_i and covariance sum w_i^2 C_i, in units of the study's own values. Its weights are how
often a model ranks the study's own observations best: in each of S samples of the models' posteriors at those
observations (of the study's own model leave-one-out), the loss of a model is the number of pairs that it orders
wrongly, and the model of least loss wins; of equals the study's own does, then all share. A source whose median loss
exceeds a high quantile of the study's own is left out, as many poor sources would outvote it by chance.

References: arXiv:1802.02219 (RGPE, Feurer, Letham, Hutter, Bakshy 2018), sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimization.features import Rows
from optimization.quiet import quiet
from optimization.surrogate import Belief, GaussianProcess

with quiet():
    import torch
    from gpytorch.utils.cholesky import psd_safe_cholesky  # type: ignore[import-untyped]
    from torch import Tensor

SAMPLES = 256

MOST_RANKED = 200
"""Observations whose order the models are judged by: there are as many pairs as their square."""

WORST = 0.95
"""Quantile of the study's own losses that a source's median loss must not exceed."""


class Ensemble:
    """The study's own model and those of its sources, of one metric."""

    def __init__(self, own: GaussianProcess, sources: Sequence[GaussianProcess], seed: int) -> None:
        self._models = [*sources, own]
        self._own = own
        self.weights = weights(own, sources, seed)
        self._lines = [*(_line(source, own) for source in sources), (0.0, 1.0)]

    def belief(self, rows: Rows) -> Belief:
        mean = torch.zeros(len(rows), dtype=torch.float64)
        covariance = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        for model, weight, (level, slope) in zip(self._models, self.weights, self._lines, strict=True):
            if weight > 0:
                each = model.standardised(rows)
                mean += weight * (level + slope * each.mean)
                covariance += (weight * slope) ** 2 * each.covariance
        return self._own.in_unit(Belief(mean, covariance))


def _line(source: GaussianProcess, own: GaussianProcess) -> tuple[float, float]:
    """Level and slope that take the source's predictions to the study's values: a ridge around (0, 1), which both
    being standardised would give if they had tried the same architectures."""
    predicted, values = source.standardised(own.rows).mean, own.values[:, 0]
    columns = torch.stack([torch.ones_like(predicted), predicted], dim=1)
    inner = columns.T @ columns + torch.eye(2, dtype=torch.float64)
    level, slope = torch.linalg.solve(inner, columns.T @ (values - predicted))
    return float(level), max(0.0, 1.0 + float(slope))


def weights(own: GaussianProcess, sources: Sequence[GaussianProcess], seed: int) -> list[float]:
    """One for each source, then that of the study's own model; they add up to 1."""
    ranked = _ranked(len(own.rows), seed)
    values = own.values[ranked, 0]
    generator = torch.Generator().manual_seed(seed)
    means, deviations = (each[ranked] for each in own.left_out())
    noise = torch.randn(SAMPLES, len(values), dtype=torch.float64, generator=generator)
    losses = [ranking_losses(means + noise * deviations, values)]
    for source in sources:
        belief = source.standardised(own.rows[ranked])
        noise = torch.randn(SAMPLES, len(values), dtype=torch.float64, generator=generator)
        jitter = 1e-8 * torch.eye(len(values), dtype=torch.float64)
        root = psd_safe_cholesky(belief.covariance + jitter)
        losses.append(ranking_losses(belief.mean + noise @ root.T, values))
    table = torch.stack([*losses[1:], losses[0]])  # (models, samples), the own last
    limit = torch.quantile(losses[0], WORST)
    left_out = torch.cat([table[:-1].median(dim=1).values > limit, torch.tensor([False])])
    table[left_out] = torch.inf
    is_best = table == table.min(dim=0).values
    # Of equals the study's own wins, which is the only one that no other study can mislead.
    is_best[:-1] &= ~is_best[-1]
    shares = is_best.double() / is_best.sum(dim=0)
    return [float(share) for share in shares.mean(dim=1)]


def _ranked(count: int, seed: int) -> Rows:
    if count <= MOST_RANKED:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=MOST_RANKED, replace=False))


def ranking_losses(predicted: Tensor, values: Tensor) -> Tensor:
    """Ordered pairs whose order each sample (samples, points) has otherwise than the values (points,): (samples,)."""
    wanted = values[:, None] < values[None, :]
    found = predicted[:, :, None] < predicted[:, None, :]
    return (wanted ^ found).sum(dim=(1, 2)).double()
