"""The acquisition against slow transcriptions of what it is the expectation of."""

from __future__ import annotations

import math

import moocore
import numpy as np
import pytest
import torch

from optimization.acquisition import Objective, log_nehvi
from optimization.quiet import quiet
from optimization.surrogate import Belief

UP = Objective(sign=1.0, logarithmic=False, reference=-1.0)
DOWN = Objective(sign=-1.0, logarithmic=True, reference=-3.0)
LOG_UP = Objective(sign=1.0, logarithmic=True, reference=0.2)


def belief(generator: np.random.Generator, count: int, spread: float = 0.5) -> Belief:
    factor = generator.normal(size=(count, count)) * spread / math.sqrt(count)
    mean = torch.from_numpy(generator.normal(size=count) * 0.7)
    return Belief(mean, torch.from_numpy(factor @ factor.T + 1e-6 * np.eye(count)))


def drawn(objectives, beliefs, count: int, generator: np.random.Generator) -> np.ndarray:
    """Gains of all points, (count, points, objectives)."""
    columns = []
    for objective, each in zip(objectives, beliefs, strict=True):
        values = generator.multivariate_normal(each.mean.numpy(), each.covariance.numpy(), size=count)
        columns.append(objective.gain(torch.from_numpy(values)).numpy())
    return np.stack(columns, axis=-1)


def volume(points: np.ndarray, reference: np.ndarray) -> float:
    inside = points[(points > reference).all(axis=1)]
    return float(moocore.hypervolume(-inside, ref=-reference)) if len(inside) else 0.0


def sampled_nehvi(objectives, beliefs, judged: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors of what each candidate adds, by sampling it too."""
    points = drawn(objectives, beliefs, count, np.random.default_rng(1))
    reference = np.array([objective.reference for objective in objectives])
    gained = np.empty((count, points.shape[1] - judged))
    for place, sample in enumerate(points):
        before = volume(sample[:judged], reference)
        for candidate in range(judged, len(sample)):
            gained[place, candidate - judged] = volume(sample[[*range(judged), candidate]], reference) - before
    return gained.mean(axis=0), gained.std(axis=0) / math.sqrt(count)


def normal(objectives: int, samples: int, judged: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(size=(objectives, samples, judged)))


@pytest.mark.parametrize("objectives", [(UP,), (UP, DOWN), (LOG_UP, DOWN), (UP, DOWN, UP)], ids=len)
@pytest.mark.parametrize("judged", [0, 4])
def test_is_the_expected_gain_of_hypervolume(objectives, judged):
    generator = np.random.default_rng(0)
    beliefs = [belief(generator, judged + 6) for _ in objectives]
    samples = 2000 if len(objectives) < 3 else 300
    counts = torch.ones(samples, judged, dtype=torch.bool)
    found = log_nehvi(objectives, beliefs, judged, counts, normal(len(objectives), samples, judged)).exp().numpy()
    expected, error = sampled_nehvi(objectives, beliefs, judged, 3000)
    assert found.shape == (6,)
    assert (np.abs(found - expected) < 5 * error + 0.1 * expected + 0.01 * expected.max()).all()
    assert expected.max() > 3 * expected.min()


def test_a_metric_that_is_known_adds_exactly_its_strip():
    certain = Belief(torch.tensor([0.0, 0.5]).double(), torch.zeros(2, 2, dtype=torch.float64))
    other = Belief(torch.tensor([0.0, 0.0]).double(), torch.zeros(2, 2, dtype=torch.float64))
    counts = torch.ones(8, 1, dtype=torch.bool)
    (found,) = log_nehvi((UP, DOWN), [certain, other], 1, counts, normal(2, 8, 1)).exp()
    assert float(found) == pytest.approx(0.5 * (3.0 - 1.0), rel=1e-6)


def test_a_point_that_does_not_count_in_a_sample_hides_nothing():
    generator = np.random.default_rng(3)
    beliefs = [belief(generator, 5), belief(generator, 5)]
    base = normal(2, 64, 2)
    none = log_nehvi((UP, DOWN), beliefs, 2, torch.zeros(64, 2, dtype=torch.bool), base)
    half = torch.zeros(64, 2, dtype=torch.bool)
    half[::2] = True
    some = log_nehvi((UP, DOWN), beliefs, 2, half, base)
    whole = log_nehvi((UP, DOWN), beliefs, 2, torch.ones(64, 2, dtype=torch.bool), base)
    assert (none > some).all()
    assert (some > whole).all()


def test_agrees_with_botorch():
    """BoTorch's own NEHVI, which samples the candidates too, on the posterior of one of its models."""
    from botorch.acquisition.multi_objective.monte_carlo import qNoisyExpectedHypervolumeImprovement
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.sampling import SobolQMCNormalSampler

    generator = torch.Generator().manual_seed(0)
    points = torch.rand(8, 2, dtype=torch.float64, generator=generator)
    candidates = torch.rand(20, 2, dtype=torch.float64, generator=generator)
    values = torch.stack([points.sum(dim=1), (3 * points[:, 0]).sin() - points[:, 1]], dim=1)
    values = (values - values.mean(dim=0)) / values.std(dim=0)
    noise = torch.full((8, 1), 0.01, dtype=torch.float64)
    models = [SingleTaskGP(points, values[:, [k]], noise, outcome_transform=None).eval() for k in (0, 1)]
    model = ModelListGP(*models)
    with quiet(), torch.no_grad():
        peer = qNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=[-2.0, -1.5],
            X_baseline=points,
            sampler=SobolQMCNormalSampler(torch.Size([512]), seed=0),
            prune_baseline=False,
            cache_root=False,
        )
        theirs = peer(candidates[:, None]).numpy()
        both = torch.cat([points, candidates])
        beliefs = [Belief(each.posterior(both).mvn.mean, each.posterior(both).mvn.covariance_matrix) for each in models]
        objectives = [Objective(sign=1.0, logarithmic=False, reference=bound) for bound in (-2.0, -1.5)]
        ours = log_nehvi(objectives, beliefs, 8, torch.ones(512, 8, dtype=torch.bool), normal(2, 512, 8)).exp().numpy()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.995
    assert np.abs(ours - theirs).max() < 0.05 * theirs.max()
