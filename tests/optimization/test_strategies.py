"""What every strategy promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimization.registry import strategy
from optimization.strategy import Standing, StrategyTrial
from optimization.values import Constraint, StrategyName
from search_space import Choice, IntegerRange, SearchSpace, cost


def shapes(suggestions) -> list:
    return [suggestion.architecture for suggestion in suggestions]


def pending(architectures) -> list[StrategyTrial]:
    return [StrategyTrial(architecture=shape, standing=Standing.PENDING) for shape in architectures]


@pytest.mark.parametrize("name", StrategyName)
class TestEveryStrategy:
    def test_first_suggestions_are_distinct_points_of_the_space(self, name, study):
        suggestions = strategy(name).suggest(study, [], 9)
        assert len({suggestion.architecture.key for suggestion in suggestions}) == 9
        assert all(suggestion.architecture in study.space for suggestion in suggestions)
        assert all(suggestion.strategy for suggestion in suggestions)

    def test_nothing_tried_is_suggested_again_whatever_became_of_it(self, name, study, history):
        tried = study.space.sample(16, np.random.default_rng(0))
        trials = history(tried[:12]) + pending(tried[12:])
        assert {trial.standing for trial in trials} == set(Standing)
        suggestions = strategy(name).suggest(study, trials, 2)
        assert len({shape.key for shape in shapes(suggestions)}) == 2
        for suggestion in suggestions:
            assert suggestion.architecture in study.space
            assert suggestion.architecture not in tried

    def test_pending_trials_make_room_for_others(self, name, study):
        first = strategy(name).suggest(study, [], 3)
        then = strategy(name).suggest(study, pending(shapes(first)), 3)
        assert len({shape.key for shape in shapes(first) + shapes(then)}) == 6

    def test_same_arguments_same_answer(self, name, study, history):
        trials = history(study.space.sample(8, np.random.default_rng(1)))
        assert strategy(name).suggest(study, trials, 1) == strategy(name).suggest(study, trials, 1)

    def test_another_seed_starts_elsewhere(self, name, study):
        here = shapes(strategy(name).suggest(study, [], 5))
        there = shapes(strategy(name).suggest(replace(study, seed=6), [], 5))
        assert here != there

    def test_a_small_space_is_exhausted_exactly(self, name, study, metrics):
        small = SearchSpace(
            dimensions={
                "layers": IntegerRange(low=1, high=2),
                "hidden_size": Choice(values=(48, 64)),
                "heads": Choice(values=(3, 4)),  # 64 cannot be divided by 3
                "ffn_size": Choice(values=(64,)),
            },
            vocabulary_size=1000,
        )
        trials: list[StrategyTrial] = []
        while found := strategy(name).suggest(replace(study, space=small), trials, 4):
            trials += [
                StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
                for shape in shapes(found)
            ]
        assert sorted(trial.architecture.key for trial in trials) == sorted(
            small.architecture(row).key for row in range(6)
        )

    @pytest.mark.parametrize("tried", [0, 20])
    def test_what_is_known_to_break_a_bound_is_not_tried_while_anything_else_is_left(self, name, study, metrics, tried):
        flops = sorted(cost(study.space.architecture(row)).flops for row in range(study.space.size))
        bounded = replace(study, constraints=(Constraint(metric="flops", bound=float(flops[24])),))
        begun = [
            StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
            for shape in study.space.sample(tried, np.random.default_rng(0))
        ]
        assert all(cost(shape).flops <= flops[24] for shape in shapes(strategy(name).suggest(bounded, begun, 3)))
        hopeless = replace(study, constraints=(Constraint(metric="flops", bound=1.0),))
        assert len(strategy(name).suggest(hopeless, begun, 3)) == 3

    def test_nothing_asked_nothing_suggested(self, name, study, history):
        trials = history(study.space.sample(8, np.random.default_rng(1)))
        assert strategy(name).suggest(study, trials, 0) == []
        assert strategy(name).suggest(study, trials, -1) == []

    def test_a_space_of_one_point_is_suggested_once(self, name, study):
        one = SearchSpace(
            dimensions={
                "layers": Choice(values=(2,)),
                "hidden_size": Choice(values=(48,)),
                "heads": Choice(values=(2,)),
                "ffn_size": Choice(values=(64,)),
            }
        )
        (only,) = strategy(name).suggest(replace(study, space=one), [], 3)
        assert only.architecture == one.architecture(0)
        assert strategy(name).suggest(replace(study, space=one), pending([only.architecture]), 3) == []


@pytest.mark.parametrize("name", [StrategyName.RANDOM, StrategyName.SOBOL])
def test_one_at_a_time_is_the_same_as_all_at_once(name, study):
    trials: list[StrategyTrial] = []
    for _ in range(study.space.size):
        trials += pending(shapes(strategy(name).suggest(study, trials, 1)))
    assert [trial.architecture for trial in trials] == shapes(strategy(name).suggest(study, [], 100))


def test_sobol_spreads_over_every_dimension(study):
    half = shapes(strategy("sobol").suggest(study, [], study.space.size // 2))
    for name in study.space.names:
        values = study.space.dimensions[name].values
        counts = [sum(getattr(shape, name) == value for shape in half) for value in values]
        assert max(counts) - min(counts) <= 4, name


def test_sobol_reaches_all_of_a_space_longer_than_its_sequence(study):
    large = SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=12),
            "hidden_size": IntegerRange(low=64, high=1024, step=64),
            "heads": Choice(values=(1, 2, 4, 8)),
            "ffn_size": IntegerRange(low=64, high=512, step=64),
        }
    )
    assert large.size > 4096
    found = shapes(strategy("sobol").suggest(replace(study, space=large), [], large.size + 1))
    assert len({shape.key for shape in found}) == large.size


def test_unknown_strategy_suggests_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown strategy 'sobel' \(did you mean 'sobol'\?\); known are random, sobol"
    ):
        strategy("sobel")
    with pytest.raises(ValueError, match="unknown strategy 'magic'; known are random, sobol, ax"):
        strategy("magic")
