import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_space import (
    Activation,
    Architecture,
    Choice,
    EmptySpaceError,
    IntegerRange,
    SearchSpace,
    SearchSpaceError,
    parameter_count,
)

DIMENSIONS = {
    "layers": IntegerRange(low=1, high=3),
    "hidden_size": Choice(values=(2, 8, 12, 24)),
    "heads": Choice(values=(1, 2, 3, 4)),
    "ffn_size": Choice(values=(16, 32)),
}


def space_of(**changes: object) -> SearchSpace:
    return SearchSpace(**{"dimensions": DIMENSIONS, "vocabulary_size": 100, "max_positions": 16} | changes)


def points(space: SearchSpace) -> list[Architecture]:
    return [space.architecture(row) for row in range(space.size)]


small_values = st.sets(st.integers(1, 9), min_size=1, max_size=4).map(lambda values: Choice(values=tuple(values)))
dimension_sets = st.fixed_dictionaries(dict.fromkeys(DIMENSIONS, small_values), optional={"head_size": small_values})


@settings(max_examples=60, deadline=None)
@given(dimensions=dimension_sets)
def test_columns_hold_every_valid_point_in_lexicographic_order(dimensions):
    expected = []
    names = [name for name in ("layers", "hidden_size", "heads", "head_size", "ffn_size") if name in dimensions]
    for values in itertools.product(*(dimensions[name].values for name in names)):
        point = dict(zip(names, values, strict=True))
        if "head_size" in point or point["hidden_size"] % point["heads"] == 0:
            expected.append({"head_size": point["hidden_size"] // point["heads"]} | point)
    if not expected:
        with pytest.raises(EmptySpaceError):
            SearchSpace(dimensions=dimensions)
        return
    space = SearchSpace(dimensions=dict(reversed(dimensions.items())))
    found = [{name: getattr(point, name) for name in expected[0]} for point in points(space)]
    assert found == expected
    assert [space.index(point) for point in points(space)] == list(range(space.size))


def test_what_is_not_a_point_is_not_in_the_space():
    space = space_of()
    inside = space.architecture(7)
    assert inside in space
    assert "an architecture" not in space
    for change in (
        {"layers": 4},
        {"hidden_size": 9},
        {"head_size": inside.head_size + 1},
        {"vocabulary_size": 101},
        {"token_types": 0},
        {"activation": Activation.RELU},
    ):
        assert Architecture.from_dict(inside.to_dict() | change) not in space, change


def test_sampling_is_uniform_over_valid_points():
    space = space_of()
    drawn = np.zeros(space.size)
    generator = np.random.default_rng(0)
    rounds = 4000
    for _ in range(rounds):
        for point in space.sample(3, generator):
            drawn[space.index(point)] += 1
    expected = 3 * rounds / space.size
    assert np.square(drawn - expected).sum() / expected < 2 * space.size  # chi-squared, mean about space.size


def test_sampling_never_repeats_and_stops_at_the_whole_space():
    space = space_of()
    keys = [point.key for point in space.sample(10_000, np.random.default_rng(1))]
    assert len(keys) == len(set(keys)) == space.size


def test_sampling_follows_the_generator():
    space = space_of()
    assert space.sample(5, np.random.default_rng(3)) == space.sample(5, np.random.default_rng(3))
    assert space.sample(5, np.random.default_rng(3)) != space.sample(5, np.random.default_rng(4))


@settings(max_examples=40, deadline=None)
@given(dimensions=dimension_sets)
def test_neighbours_are_mutual_and_differ_in_one_dimension(dimensions):
    try:
        space = SearchSpace(dimensions=dimensions)
    except EmptySpaceError:
        return
    for point in points(space)[:20]:
        for near in space.neighbours(point):
            assert near in space
            assert sum(getattr(near, name) != getattr(point, name) for name in space.names) == 1
            assert point in list(space.neighbours(near))


def test_neighbours_skip_what_no_encoder_can_have():
    space = space_of()
    wide = Architecture(
        vocabulary_size=100, max_positions=16, layers=1, hidden_size=8, heads=4, head_size=2, ffn_size=16
    )
    assert {(near.layers, near.hidden_size, near.heads, near.ffn_size) for near in space.neighbours(wide)} == {
        (2, 8, 4, 16),
        (1, 12, 4, 16),
        (1, 8, 4, 32),
    }


def test_neighbours_of_a_stranger_are_refused():
    stranger = Architecture(vocabulary_size=5, layers=1, hidden_size=8, heads=1, head_size=8, ffn_size=16)
    with pytest.raises(SearchSpaceError, match="is not in the search space"):
        list(space_of().neighbours(stranger))


def test_bounds_keep_exactly_what_meets_them():
    space = space_of()
    bounded = space.bounded(parameters=4_000, layers=2)
    assert points(bounded) == [
        point for point in points(space) if parameter_count(point) <= 4_000 and point.layers <= 2
    ]
    assert 0 < bounded.size < space.size


def test_a_second_bound_only_tightens():
    space = space_of().bounded(layers=2)
    assert set(space.bounded(layers=3).columns["layers"].tolist()) == {1, 2}
    assert set(space.bounded(layers=1).columns["layers"].tolist()) == {1}


def test_within_a_teacher_nothing_is_larger_and_the_rest_is_the_teachers():
    teacher = Architecture(
        vocabulary_size=77,
        layers=2,
        hidden_size=12,
        heads=3,
        head_size=4,
        ffn_size=16,
        max_positions=33,
        token_types=0,
        activation=Activation.RELU,
    )
    students = points(space_of().within(teacher))
    assert students
    for student in students:
        assert (student.vocabulary_size, student.max_positions, student.token_types) == (77, 33, 0)
        assert student.activation is Activation.RELU
        for name in ("layers", "hidden_size", "heads", "head_size", "ffn_size"):
            assert getattr(student, name) <= getattr(teacher, name)
    assert teacher in space_of().within(teacher)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": DIMENSIONS | {"width": Choice(values=(1,))}}, "unknown dimension 'width'; known are layers"),
        ({"dimensions": {"layers": Choice(values=(1,))}}, "dimension 'hidden_size' is missing"),
        ({"dimensions": DIMENSIONS | {"layers": IntegerRange(low=0, high=2)}}, "layers must be at least 1, got 0"),
        ({"dimensions": DIMENSIONS | {"layers": IntegerRange(low=1, high=9_999)} | {
            "ffn_size": IntegerRange(low=1, high=9_999)}}, "grid points, more than 4,000,000"),
        ({"at_most": {"latency": 3}}, "cannot bound 'latency'; known are parameters"),
        ({"at_most": {"parameters": float("nan")}}, "bound of parameters must be a number"),
        ({"vocabulary_size": 0}, "vocabulary_size must be an integer of at least 1, got 0"),
    ],
)  # fmt: skip
def test_an_impossible_space_says_why(change, message):
    with pytest.raises(SearchSpaceError, match=message):
        space_of(**change)


def test_a_space_that_nothing_divides_names_both_dimensions():
    indivisible = DIMENSIONS | {"hidden_size": Choice(values=(8, 16)), "heads": Choice(values=(3, 5))}
    with pytest.raises(EmptySpaceError, match=r"no hidden_size of \[8, 16\] can be divided .* heads of \[3, 5\]"):
        space_of(dimensions=indivisible)


def test_an_empty_space_names_the_bound_that_emptied_it():
    smallest = min(parameter_count(point) for point in points(space_of()))
    with pytest.raises(EmptySpaceError, match=rf"has parameters <= 100; the smallest has {smallest:,}"):
        space_of().bounded(parameters=100)
    with pytest.raises(EmptySpaceError, match=r"has layers <= 0\.5; the smallest has 1"):
        space_of().bounded(layers=0.5)


def test_two_bounds_that_only_together_empty_the_space_are_found_out():
    deep = min(
        parameter_count(point) for point in points(space_of(dimensions=DIMENSIONS | {"layers": Choice(values=(3,))}))
    )
    space = space_of(dimensions=DIMENSIONS | {"layers": Choice(values=(3,))}).bounded(hidden_size=2)
    with pytest.raises(EmptySpaceError, match=f"has parameters <= {deep - 1:,}; the smallest has {deep:,}"):
        space.bounded(parameters=deep - 1)
