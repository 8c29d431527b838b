from statistics import median_low

import pytest

from search_space import Architecture, Choice, IntegerRange, SearchSpace, SearchSpaceError, Spread, cost, preview

DIMENSIONS = {
    "layers": IntegerRange(low=1, high=3),
    "hidden_size": Choice(values=(8, 12)),
    "heads": Choice(values=(1, 3)),
    "ffn_size": Choice(values=(16, 32)),
    "ffn_stacks": Choice(values=(2, 3), when="layers == 2"),
}


def spread(values: list[int]) -> Spread:
    return Spread(minimum=min(values), median=median_low(values), maximum=max(values))


def test_a_preview_counts_points_and_spreads_of_cost():
    space = SearchSpace(dimensions=DIMENSIONS, constraints=["parameters <= 249_400"], length=20, dtype="int8")
    costs = [cost(space.architecture(row), length=20, dtype="int8") for row in range(space.size)]
    seen = preview(space)
    assert (seen.grid_points, seen.valid_points) == (48, space.size)
    assert 0 < space.size < 24
    assert seen.parameters == seen.weight_bytes == spread([each.parameters for each in costs])
    assert seen.flops == spread([each.flops for each in costs])
    assert seen.empty_because == ""


def test_weights_of_four_bytes_are_four_times_the_parameters():
    seen = preview(SearchSpace(dimensions=DIMENSIONS))
    assert seen.weight_bytes.median == 4 * seen.parameters.median


def test_an_empty_space_is_shown_with_what_empties_it():
    seen = preview(lambda: SearchSpace(dimensions=DIMENSIONS).constrained("layers >= 2", "ffn_size == 5 * hidden_size"))
    assert (seen.grid_points, seen.valid_points) == (48, 0)
    assert seen.empty_because == "no architecture left has ffn_size == 5 * hidden_size"
    assert seen.parameters is seen.flops is seen.weight_bytes is None


def test_a_space_without_room_for_the_teacher_is_shown_too():
    teacher = Architecture(vocabulary_size=5, layers=1, hidden_size=4, heads=1, head_size=4, ffn_size=64)
    seen = preview(lambda: SearchSpace(dimensions=DIMENSIONS).within(teacher))
    assert seen.empty_because == "no architecture left has hidden_size <= 4; the smallest has 8"


def test_a_mistake_is_still_raised():
    with pytest.raises(SearchSpaceError, match="unknown name 'depth'"):
        preview(lambda: SearchSpace(dimensions=DIMENSIONS, constraints=["depth < 3"]))


def test_a_space_of_one_point_has_one_of_everything():
    seen = preview(SearchSpace(dimensions={name: Choice(values=(4,)) for name in list(DIMENSIONS)[:4]}))
    assert (seen.grid_points, seen.valid_points) == (1, 1)
    assert seen.parameters.minimum == seen.parameters.median == seen.parameters.maximum > 0
