"""What Ax adds. Few tests: importing Ax and every fitted model cost seconds."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace

import numpy as np
import pytest

from optimization.ax_strategy import AxStrategy
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyTrial


def completed(architectures, metrics) -> list[StrategyTrial]:
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
        for shape in architectures
    ]


def test_starts_with_the_sobol_sequence(study, metrics):
    start = SobolStrategy().suggest(study, [], 4)
    trials = completed([suggestion.architecture for suggestion in start], metrics)
    assert AxStrategy().suggest(study, trials, 1) == SobolStrategy().suggest(study, [], 5)[4:]


def test_keeps_to_the_sobol_sequence_until_two_trials_are_completed(study, metrics):
    shapes = study.space.sample(12, np.random.default_rng(0))
    infeasible = [
        StrategyTrial(architecture=shape, standing=Standing.INFEASIBLE, metrics={"latency_p50": 0.01})
        for shape in shapes[1:]
    ]
    trials = completed(shapes[:1], metrics) + infeasible
    assert AxStrategy().suggest(study, trials, 2) == SobolStrategy().suggest(study, trials, 2)


def test_predicts_what_the_trials_show(study, metrics):
    trials = completed(study.space.sample(14, np.random.default_rng(2)), metrics)
    (suggestion,) = AxStrategy().suggest(study, trials, 1)
    assert suggestion.strategy == "ax"
    assert set(suggestion.predicted) == {"accuracy", "latency_p50"}
    truth = metrics(suggestion.architecture)
    assert suggestion.predicted["accuracy"] == pytest.approx(truth["accuracy"], abs=0.02)  # of a range of 0.16
    assert suggestion.predicted["latency_p50"] == pytest.approx(truth["latency_p50"], abs=3e-4)  # of a range of 3e-3


def test_learns_from_infeasible_pending_and_noisy_trials(study, metrics, history):
    shapes = study.space.sample(10, np.random.default_rng(3))
    noise = {"accuracy": 1e-4, "latency_p50": 1e-10}
    trials = [replace(trial, variances=noise) for trial in history(shapes[:8])]
    trials += [
        StrategyTrial(architecture=shapes[8], standing=Standing.PENDING, metrics={"latency_p50": 0.001}),
        StrategyTrial(architecture=shapes[9], standing=Standing.PENDING),
    ]
    (suggestion,) = AxStrategy().suggest(study, trials, 1)
    assert suggestion.strategy == "ax"


def test_models_a_constrained_metric_that_is_no_objective(study, metrics):
    only_small = replace(study.constraints[1], metric="size_bytes", bound=2e6)
    trials = [
        replace(trial, metrics={**trial.metrics, "size_bytes": 4 * trial.metrics["parameters"]})
        for trial in completed(study.space.sample(8, np.random.default_rng(4)), metrics)
    ]
    (suggestion,) = AxStrategy().suggest(replace(study, constraints=(only_small,)), trials, 1)
    assert suggestion.strategy == "ax"
    assert "size_bytes" in suggestion.predicted


def test_of_two_bounds_on_one_side_the_tighter_counts(study, metrics):
    looser = [replace(constraint, bound=2 * constraint.bound) for constraint in study.constraints]
    trials = completed(study.space.sample(8, np.random.default_rng(4)), metrics)
    given = replace(study, constraints=(looser[0], *study.constraints, looser[1]))
    assert AxStrategy().suggest(given, trials, 1) == AxStrategy().suggest(study, trials, 1)
    assert AxStrategy().suggest(given, trials, 1)[0].strategy == "ax"


def test_a_metric_that_never_changes_is_no_obstacle(study, metrics):
    shapes = study.space.sample(6, np.random.default_rng(5))
    trials = completed(shapes, lambda shape: metrics(shape) | {"accuracy": 0.5})
    (suggestion,) = AxStrategy().suggest(study, trials, 1)
    assert suggestion.strategy == "ax"
    assert suggestion.predicted["accuracy"] == pytest.approx(0.5, abs=1e-3)


def test_when_ax_fails_a_sobol_point_says_why(study, metrics):
    shapes = study.space.sample(6, np.random.default_rng(6))
    beyond_floats = iter([1e308, -1e308] * 3)
    trials = completed(shapes, lambda shape: metrics(shape) | {"accuracy": next(beyond_floats)})
    suggestions = AxStrategy().suggest(study, trials, 2)
    expected = SobolStrategy().suggest(study, trials, 2)
    assert [suggestion.architecture for suggestion in suggestions] == [other.architecture for other in expected]
    assert all(suggestion.strategy.startswith("sobol (ax: OverflowError") for suggestion in suggestions)


def test_says_nothing_and_leaves_logging_and_warnings_as_they_were(study, metrics, capfd, caplog):
    filters, disabled = list(warnings.filters), logging.root.manager.disable
    trials = completed(study.space.sample(6, np.random.default_rng(7)), metrics)
    AxStrategy().suggest(study, trials, 1)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert (list(warnings.filters), logging.root.manager.disable) == (filters, disabled)
