from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from optimization.features import Features
from optimization.observations import known_values, observe
from optimization.strategy import Standing, StrategyTrial
from search_space import Category, Choice, SearchSpace, cost


def trial(shape, standing=Standing.COMPLETED, full=None, variances=None, **metrics) -> StrategyTrial:
    return StrategyTrial(
        architecture=shape, standing=standing, metrics=metrics, variances=variances or {}, full=full or {}
    )


class Somehow:
    def predict(self, space):
        return np.zeros(space.size), np.ones(space.size)


def test_what_is_minimised_and_positive_is_modelled_by_its_logarithm(study):
    shapes = [study.space.architecture(row) for row in (4, 9)]
    trials = [
        trial(shapes[0], accuracy=0.5, latency_p50=0.002, variances={"accuracy": 0.01, "latency_p50": 4e-8}),
        trial(shapes[1], Standing.FAILED, latency_p50=0.004),
    ]
    latency, accuracy = observe(study, trials, "latency_p50"), observe(study, trials, "accuracy")
    assert latency.logarithmic
    assert not accuracy.logarithmic
    assert latency.values.tolist() == pytest.approx([math.log(0.002), math.log(0.004)])
    assert latency.variances.tolist() == pytest.approx([0.01, 0.0])  # a tenth of the value, squared
    assert (accuracy.values.tolist(), accuracy.variances.tolist()) == ([0.5], [0.01])
    assert latency.rows.tolist() == [4, 9]
    below = [*trials, trial(study.space.architecture(1), latency_p50=-1.0)]
    assert not observe(study, below, "latency_p50").logarithmic


def test_values_without_a_logarithm_are_left_out_where_a_predictor_has_logarithms(study):
    informed = replace(study, predictors={"latency_p50": Somehow()})
    trials = [trial(study.space.architecture(row), latency_p50=value) for row, value in enumerate((0.0, 0.002, -1.0))]
    assert observe(informed, trials, "latency_p50").rows.tolist() == [1]


def test_values_that_are_no_numbers_and_architectures_elsewhere_are_left_out(study):
    outside = replace(study.space.architecture(0), layers=9)
    shapes = [study.space.architecture(row) for row in range(3)]
    trials = [trial(shapes[0], accuracy=math.nan), trial(shapes[1], accuracy=0.4), trial(outside, accuracy=0.9)]
    assert observe(study, trials, "accuracy").values.tolist() == [0.4]
    assert observe(study, trials, "energy_j").count == 0


def test_both_fidelities_are_there_and_can_be_told_apart(study):
    found = observe(study, [trial(study.space.architecture(0), accuracy=0.4, full={"accuracy": 0.6})], "accuracy")
    assert (found.values.tolist(), found.full.tolist()) == ([0.4, 0.6], [False, True])
    assert found.at_flash().values.tolist() == [0.4]


def test_closed_form_costs_are_those_of_the_architecture(study):
    rows = [0, 17, 40]
    expected = [cost(study.space.architecture(row)) for row in rows]
    assert known_values(study.space, "parameters", rows).tolist() == [each.parameters for each in expected]
    assert known_values(study.space, "flops", rows).tolist() == [each.flops for each in expected]


def test_features_are_scaled_logarithms_of_sizes_and_costs_each_told_once():
    space = SearchSpace(
        dimensions={
            "layers": Choice(values=(1, 2, 4)),
            "hidden_size": Choice(values=(64, 128)),
            "heads": Choice(values=(2,)),
            "ffn_size": Choice(values=(64, 256)),
            "bottleneck_size": Choice(values=(0, 32)),
            "norm": Category(values=("layer_norm", "no_norm")),
        }
    )
    features = Features(space)
    table = features.of(range(space.size))
    assert {"layers", "hidden_size", "ffn_size", "bottleneck_size", "norm", "parameters"} <= set(features.names)
    assert "heads" not in features.names
    assert len(features.names) == len(set(features.names))
    assert (table.min(axis=0) >= -1e-12).all()
    assert (table.max(axis=0) <= 1 + 1e-12).all()
    layers = table[:, features.names.index("layers")]
    assert sorted(set(np.round(layers, 9))) == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(features.of([5, 2]), table[[5, 2]])


def test_a_space_of_one_shape_has_no_features():
    one = SearchSpace(
        dimensions={
            "layers": Choice(values=(2,)),
            "hidden_size": Choice(values=(48,)),
            "heads": Choice(values=(2,)),
            "ffn_size": Choice(values=(64,)),
        }
    )
    assert Features(one).of([0]).shape == (1, 0)
