"""Earlier studies of the same space: those that agree help, others are not listened to."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from optimization.features import Features
from optimization.observations import observe
from optimization.pareto_strategy import ParetoStrategy
from optimization.strategy import Standing, StrategyTrial
from optimization.surrogate import GaussianProcess
from optimization.transfer import Ensemble, ranking_losses, weights


def completed(architectures, metrics) -> list[StrategyTrial]:
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
        for shape in architectures
    ]


def shuffled(trials: list[StrategyTrial]) -> list[StrategyTrial]:
    order = np.random.default_rng(4).permutation(len(trials))
    return [replace(trial, metrics=trials[place].metrics) for trial, place in zip(trials, order, strict=True)]


@pytest.fixture
def process(study):
    features = Features(study.space)

    def made(trials) -> GaussianProcess:
        return GaussianProcess(features, observe(study, trials, "accuracy"), seed=0)

    return made


@pytest.fixture
def earlier(study, metrics) -> list[StrategyTrial]:
    """Of a study whose accuracies are all lower, and spread less."""
    trials = completed(study.space.sample(30, np.random.default_rng(11)), metrics)
    return [
        replace(trial, metrics=trial.metrics | {"accuracy": 0.3 + 0.5 * trial.metrics["accuracy"]}) for trial in trials
    ]


def test_the_loss_counts_the_ordered_pairs_that_are_wrong():
    generator = np.random.default_rng(0)
    predicted, values = generator.normal(size=(5, 6)), generator.integers(0, 4, size=6).astype(float)
    expected = [
        sum(
            (values[j] < values[k]) != (sample[j] < sample[k])
            for j, k in itertools.product(range(len(values)), repeat=2)
        )
        for sample in predicted
    ]
    assert ranking_losses(torch.from_numpy(predicted), torch.from_numpy(values)).tolist() == expected


def test_what_is_left_out_is_predicted_from_the_others_alone(study, metrics, process):
    """Against a model that is conditioned on the others, one at a time."""
    trials = completed(study.space.sample(8, np.random.default_rng(3)), metrics)
    model = process(trials)
    means, deviations = model.left_out()
    model.model.train()
    with torch.no_grad():
        prior = model.model.forward(model.points)
        covariance = prior.covariance_matrix.clone()
        noisy = model.model.likelihood(prior).covariance_matrix.clone()
        values, mean = model.values[:, 0], prior.mean.clone()
    for place in range(8):
        others = [other for other in range(8) if other != place]
        weight = torch.linalg.solve(noisy[others][:, others], covariance[others, place])
        assert float(means[place]) == pytest.approx(float(mean[place] + weight @ (values - mean)[others]), abs=1e-6)
        left = noisy[place, place] - weight @ covariance[others, place]
        assert float(deviations[place]) == pytest.approx(float(left.sqrt()), rel=1e-5)


def test_a_source_that_agrees_has_weight_and_a_shuffled_one_hardly_any(study, metrics, process, earlier):
    own = process(completed(study.space.sample(10, np.random.default_rng(5)), metrics))
    related, unrelated = process(earlier), process(shuffled(earlier))
    both = weights(own, [related, unrelated], seed=0)
    assert sum(both) == pytest.approx(1.0)
    assert both[0] > 0.3
    assert both[1] < 0.05
    assert weights(own, [], seed=0) == [1.0]


def test_a_related_source_makes_predictions_better(study, metrics, process, earlier):
    own = process(completed(study.space.sample(6, np.random.default_rng(6)), metrics))
    rows = np.arange(study.space.size)
    truth = np.array([metrics(study.space.architecture(row))["accuracy"] for row in rows])

    def error(model) -> float:
        return float(np.sqrt(np.mean((model.belief(rows).mean.numpy() - truth) ** 2)))

    assert error(Ensemble(own, [process(earlier)], seed=0)) < 0.9 * error(own)


def test_a_study_without_sources_and_one_with_a_useless_source_choose_alike(study, metrics, earlier):
    trials = completed(study.space.sample(14, np.random.default_rng(7)), metrics)
    useless = tuple(replace(trial, metrics={}) for trial in earlier)
    alone = ParetoStrategy().suggest(study, trials, 2)
    assert ParetoStrategy().suggest(replace(study, sources=(useless,)), trials, 2) == alone


def test_a_source_that_cannot_be_modelled_costs_the_study_nothing(study, metrics, earlier):
    trials = completed(study.space.sample(12, np.random.default_rng(2)), metrics)
    broken = [replace(earlier[0], metrics=earlier[0].metrics | {"accuracy": 1e200}), *earlier[1:]]
    here = ParetoStrategy().suggest(replace(study, sources=(tuple(earlier),)), trials, 1)
    assert here[0].strategy == "pareto"
    for sources in ((tuple(earlier), tuple(broken)), (tuple(broken), tuple(earlier))):
        (there,) = ParetoStrategy().suggest(replace(study, sources=sources), trials, 1)
        assert there.predicted["accuracy"] == pytest.approx(here[0].predicted["accuracy"])
        assert (there.architecture, there.strategy) == (here[0].architecture, "pareto")


def test_a_study_with_sources_is_answered_by_the_model(study, metrics, earlier):
    trials = completed(study.space.sample(8, np.random.default_rng(8)), metrics)
    informed = replace(study, sources=(tuple(earlier), tuple(shuffled(earlier))))
    suggestions = ParetoStrategy().suggest(informed, trials, 2)
    assert {suggestion.strategy for suggestion in suggestions} == {"pareto"}
    assert ParetoStrategy().suggest(informed, trials, 2) == suggestions
