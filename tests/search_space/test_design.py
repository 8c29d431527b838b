import numpy as np
import pytest

from search_space import Choice, IntegerRange, SearchSpace, parameter_columns, preset
from search_space.design import design, row_at, space_key

SMALL = {
    "layers": IntegerRange(low=1, high=3),
    "hidden_size": Choice(values=(16, 32)),
    "heads": Choice(values=(1, 2)),
    "ffn_size": Choice(values=(32, 64)),
}


@pytest.mark.parametrize("name", ["bert", "autodistill", "minilm"])
def test_rows_are_distinct_repeatable_and_hold_both_ends(name):
    space = preset(name)
    rows = design(space, 40, seed=3)
    assert len(set(rows)) == 40
    assert rows == design(space, 40, seed=3)
    assert rows != design(space, 40, seed=4)
    parameters = parameter_columns(space.columns)
    assert parameters[rows].min() == parameters.min()
    assert parameters[rows].max() == parameters.max()


def test_a_small_space_is_taken_whole():
    space = SearchSpace(dimensions=SMALL)
    assert sorted(design(space, 100)) == list(range(space.size))
    assert len(design(space, 1)) == 1


def test_rows_are_spread_over_every_dimension_as_its_values_are():
    space = preset("bert")
    rows = design(space, 64, seed=1)
    first = space.names[0]
    counts = np.bincount(space.columns[first][rows])[1:]
    expected = np.bincount(space.columns[first])[1:] / space.size * 64
    assert np.abs(counts - expected).max() <= 3
    for name in space.names:
        assert len(set(space.columns[name][rows].tolist())) >= 0.8 * len(space.dimensions[name].values)


def test_rows_are_further_apart_than_random_ones():
    space = preset("bert")
    logs = np.log(np.stack([space.columns[name] for name in space.names], axis=1))

    def nearest(rows):
        distances = np.square(logs[rows][:, None] - logs[rows]).sum(axis=-1)
        np.fill_diagonal(distances, np.inf)
        return np.sqrt(distances.min(axis=1)).mean()

    random = [nearest(np.random.default_rng(seed).choice(space.size, 64, replace=False)) for seed in range(5)]
    assert np.mean([nearest(design(space, 64, seed)) for seed in range(5)]) > np.mean(random)


def test_the_cube_maps_onto_the_valid_points():
    space = SearchSpace(dimensions=SMALL)
    points = np.random.default_rng(0).random((4000, 4))
    counts = np.bincount([row_at(space, point) for point in points], minlength=space.size)
    assert counts.min() > 0.7 * len(points) / space.size
    assert counts.max() < 1.3 * len(points) / space.size


def test_the_key_is_of_what_may_vary():
    space = SearchSpace(dimensions=SMALL)
    assert space_key(space) == space_key(SearchSpace(dimensions=dict(reversed(SMALL.items())), vocabulary_size=7))
    assert space_key(space) != space_key(space.constrained("layers <= 2"))
    assert space_key(space) != space_key(SearchSpace(dimensions=SMALL | {"layers": IntegerRange(low=1, high=4)}))
