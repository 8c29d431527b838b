from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optimization.evolution import POPULATION, EvolutionStrategy, crowding
from optimization.front import front
from optimization.pool import nearest, recombined
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyTrial
from search_space import Choice, SearchSpace, preset

values = st.integers(-5, 5)


def completed(architectures, metrics) -> list[StrategyTrial]:
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
        for shape in architectures
    ]


@given(points=st.lists(st.tuples(values, values), min_size=1, max_size=8))
def test_crowding_is_the_gap_between_both_neighbours(points):
    table = np.array(points, dtype=np.float64)
    expected = np.zeros(len(table))
    for column in table.T:
        order = sorted(range(len(table)), key=lambda place: column[place])
        width = (max(column) - min(column)) or 1.0
        for place, index in enumerate(order):
            is_end = place in (0, len(order) - 1)
            gap = math.inf if is_end else (column[order[place + 1]] - column[order[place - 1]]) / width
            expected[index] += gap
    np.testing.assert_allclose(crowding(table), expected)


def test_starts_with_the_sobol_sequence(study, metrics):
    begun = completed(study.space.sample(POPULATION - 1, np.random.default_rng(0)), metrics)
    assert EvolutionStrategy().suggest(study, begun, 2) == SobolStrategy().suggest(study, begun, 2)


def test_children_have_the_values_of_the_best(study, metrics):
    """Where the wide are all worse in everything, few children are wide."""
    space = preset("bert")
    worse = replace(study, space=space, constraints=())

    def measured(shape) -> dict[str, float]:
        return {"accuracy": 1.0 / shape.hidden_size, "latency_p50": 1e-3 * shape.hidden_size + 1e-5 * shape.layers}

    trials = completed(space.sample(60, np.random.default_rng(1)), measured)
    best = [trials[place].architecture for place in front(worse.objectives, [trial.metrics for trial in trials])]
    widest = max(shape.hidden_size for shape in best)
    children = [each.architecture for each in EvolutionStrategy().suggest(worse, trials, 40)]
    assert sum(shape.hidden_size <= 2 * widest for shape in children) > 30
    assert sum(shape.hidden_size <= 2 * widest for shape in space.sample(40, np.random.default_rng(2))) < 25


def test_an_exhausted_neighbourhood_does_not_leave_the_count_short(study, metrics):
    everything = [study.space.architecture(row) for row in range(study.space.size)]
    trials = completed(everything[:-3], metrics)
    found = EvolutionStrategy().suggest(study, trials, 3)
    assert {each.architecture.key for each in found} == {shape.key for shape in everything[-3:]}


def test_the_nearest_point_of_a_valid_one_is_itself_and_of_another_is_valid():
    space = SearchSpace(
        dimensions={
            "layers": Choice(values=(1, 2, 4)),
            "hidden_size": Choice(values=(48, 64, 96)),
            "heads": Choice(values=(2, 3, 4)),  # 64 cannot be divided by 3
            "ffn_size": Choice(values=(64, 256)),
        }
    )
    table = np.stack([space.columns[name] for name in space.names], axis=1)
    assert nearest(space, table).tolist() == list(range(space.size))
    (row,) = nearest(space, np.array([[2, 64, 3, 256]]))
    found = space.architecture(int(row))
    assert (found.layers, found.hidden_size, found.ffn_size) == (2, 64, 256)
    assert found.heads in (2, 4)


def test_a_child_of_two_has_values_of_both(study):
    generator = np.random.default_rng(0)
    mothers, fathers = np.zeros(40, dtype=int), np.full(40, study.space.size - 1)
    mother, father = study.space.architecture(0), study.space.architecture(study.space.size - 1)
    children = study.space.architectures(recombined(study.space, mothers, fathers, generator))
    for name in study.space.names:
        assert {getattr(child, name) for child in children} == {getattr(mother, name), getattr(father, name)}
