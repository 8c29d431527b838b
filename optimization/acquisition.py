"""The log noisy expected hypervolume improvement of many candidates at once.

NEHVI(c) = E over f(B) of E[ HV(f(B) + {f(c)}) - HV(f(B)) | f(B) ], where B are the points whose objectives are judged
already (completed, pending, chosen before) and f is the models' belief. The outer expectation is an average over
samples of f(B); the inner one has a closed form, as the objectives' models are independent: over the boxes [l, u)
that partition what f(B) does not dominate, it is the sum of the products over objectives of

    E[(min(y, u) - l)+] = psi(l) - psi(u),    psi(a) = E[(y - a)+].

So no candidate is sampled, and candidates that differ a little are told apart by few samples of f(B).

References: arXiv:2105.08195 (NEHVI, Daulton et al. 2021); arXiv:2006.05078 (EHVI over boxes, section 3.2);
arXiv:2310.20708 (why the logarithm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimization.quiet import quiet
from optimization.surrogate import LEAST_VARIANCE, Belief

with quiet():
    import torch
    from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
    from gpytorch.utils.cholesky import psd_safe_cholesky  # type: ignore[import-untyped]
    from torch import Tensor
    from torch.special import ndtr

LEAST = 1e-300
"""Below it logarithms are all the same."""

LARGEST_BLOCK = 1 << 21
"""Numbers held at once in one array of samples x candidates x boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """How an objective's modelled scale becomes a gain, of which more is better.

    gain = value, or -value where less is better; of a logarithm -exp(value) or exp(value).
    `reference`: the gain below which nothing counts.
    """

    sign: float
    logarithmic: bool
    reference: float

    def gain(self, value: Tensor) -> Tensor:
        gain: Tensor = self.sign * (value.exp() if self.logarithmic else value)
        return gain

    def excess(self, mean: Tensor, deviation: Tensor, threshold: Tensor) -> Tensor:
        """psi: E[(gain - threshold)+] where the value is normal; all broadcast against each other."""
        if not self.logarithmic:
            distance = self.sign * mean - threshold
            ratio = distance / deviation
            density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
            excess: Tensor = (deviation * density + distance * ndtr(ratio)).clamp_min(0.0)
            return excess
        # As the price of an option, whose underlying is log-normal.
        strike = self.sign * threshold
        ratio = (strike.clamp_min(LEAST).log() - mean) / deviation
        expected = torch.exp(mean + 0.5 * deviation.square())
        if self.sign < 0:
            below = strike * ndtr(ratio) - expected * ndtr(ratio - deviation)
            return torch.where(strike > 0, below, 0.0).clamp_min(0.0)
        above = expected * ndtr(deviation - ratio) - strike * ndtr(-ratio)
        return torch.where(strike > 0, above, expected - strike).clamp_min(0.0)


def log_nehvi(
    objectives: Sequence[Objective],
    beliefs: Sequence[Belief],
    judged: int,
    counts: Tensor,
    base: Tensor,
) -> Tensor:
    """One value for each candidate, (candidates,).

    Args:
        beliefs: of each objective, over the `judged` points of B, then the candidates.
        counts: whether a point of B counts in a sample (a pending one may turn out infeasible), (samples, judged).
        base: standard normal numbers, (objectives, samples, judged).
    """
    samples = counts.shape[0]
    gains, means, deviations = [], [], []
    for objective, belief, normal in zip(objectives, beliefs, base, strict=True):
        drawn, mean, deviation = _conditioned(belief, judged, normal)
        gains.append(objective.gain(drawn))
        means.append(mean)
        deviations.append(deviation)
    reference = torch.tensor([objective.reference for objective in objectives], dtype=torch.float64)
    points = torch.stack(gains, dim=-1)
    points = torch.where(counts[..., None], points, reference - 1.0)
    lower, upper = _boxes(points, reference)  # (samples, boxes, objectives)
    total = torch.zeros(means[0].shape[-1], dtype=torch.float64)
    step = max(1, LARGEST_BLOCK // max(1, total.numel() * lower.shape[1]))
    for begin in range(0, samples, step):
        part = slice(begin, begin + step)
        volume = torch.ones((), dtype=torch.float64)
        for place, objective in enumerate(objectives):
            mean, deviation = means[place][part, :, None], deviations[place][None, :, None]
            low, high = lower[part, None, :, place], upper[part, None, :, place]
            side = objective.excess(mean, deviation, low)
            is_open = torch.isinf(high)
            if not is_open.all():  # of two objectives' boxes, all are open on one side
                side = side - torch.where(is_open, 0.0, objective.excess(mean, deviation, high.where(~is_open, low)))
            volume = volume * side.clamp_min(0.0)
        total += volume.sum(dim=(0, 2))
    return (total / samples).clamp_min(LEAST).log()


def drawn_from(belief: Belief, normal: Tensor) -> Tensor:
    """Joint samples (samples, points), from standard normal numbers of that shape."""
    return belief.mean + normal @ _root(belief.covariance).T


def _root(covariance: Tensor) -> Tensor:
    # Below this ratio a covariance is rounding: a metric that is known has none at all.
    jitter = 1e-8 * covariance.diagonal().mean().clamp_min(LEAST_VARIANCE)
    root: Tensor = psd_safe_cholesky(covariance + jitter * torch.eye(len(covariance), dtype=covariance.dtype))
    return root


def _conditioned(belief: Belief, judged: int, normal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of B (samples, judged); given each, the candidates' means (samples, candidates) and deviations."""
    mean, covariance = belief.mean, belief.covariance
    variance = covariance.diagonal()[judged:]
    if not judged:
        return normal, mean[None, :].expand(normal.shape[0], -1), variance.clamp_min(LEAST_VARIANCE).sqrt()
    inner, cross = covariance[:judged, :judged], covariance[:judged, judged:]
    root = _root(inner)
    drawn = mean[:judged] + normal @ root.T
    weights = torch.linalg.solve_triangular(root, cross, upper=False)  # (judged, candidates)
    left = (variance - weights.square().sum(dim=0)).clamp_min(LEAST_VARIANCE)
    return drawn, mean[judged:] + normal @ weights, left.sqrt()


def _boxes(points: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper corners of boxes that partition what each sample's points leave, (samples, boxes, objectives)."""
    if points.shape[1] == 0:
        points = (reference - 1.0).expand(points.shape[0], 1, -1)
    if len(reference) == 1:
        lower = torch.maximum(points.amax(dim=1, keepdim=True), reference)
        return lower, torch.full_like(lower, math.inf)
    if len(reference) == 2:
        bounds = FastNondominatedPartitioning(ref_point=reference, Y=points).get_hypercell_bounds()
        return bounds[0], bounds[1]
    singly = [FastNondominatedPartitioning(ref_point=reference, Y=each).get_hypercell_bounds() for each in points]
    most = max(bounds.shape[1] for bounds in singly)
    # A box without any side has no volume.
    padded = [torch.cat([b, reference.expand(2, most - b.shape[1], -1)], dim=1) for b in singly]
    lower, upper = torch.stack(padded, dim=1)
    return lower, upper
