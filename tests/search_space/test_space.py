import itertools
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_space import (
    KNOWN,
    Activation,
    Architecture,
    AttentionInput,
    Category,
    Choice,
    EmptySpaceError,
    IntegerRange,
    InvalidArchitectureError,
    Norm,
    Pooler,
    SearchSpace,
    SearchSpaceError,
    cost,
    parameter_count,
)
from search_space.architecture import OPTIONS
from search_space.space import SEARCHABLE

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


small = st.sets(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
few = st.sets(st.integers(0, 6), min_size=1, max_size=3).map(tuple)
CONDITIONS = {
    "bottleneck_size": "hidden_size > 2",
    "ffn_stacks": "bottleneck_size > 0 and layers < 4",
    "attention_input": "bottleneck_size > 0",
    "embedding_size": "layers >= 2 or norm == 'no_norm'",
    "norm": "ffn_stacks == 1",
}
CONSTRAINTS = (
    "ffn_size >= 2 * layers",
    "hidden_size % heads == 0",
    "flops <= 3e5 and parameters < 3000",
    "not trigram",
)


@st.composite
def definitions(draw):
    """Small spaces of every kind of dimension, with conditions and constraints."""
    dimensions = {name: Choice(values=draw(small)) for name in ("layers", "hidden_size", "heads", "ffn_size")}
    if draw(st.booleans()):
        dimensions["head_size"] = Choice(values=draw(small))
    for name in ("ffn_stacks", "bottleneck_size", "attention_input", "embedding_size", "norm", "trigram"):
        if not draw(st.booleans()):
            continue
        when = draw(st.sampled_from(["", CONDITIONS.get(name, "")]))
        if name in OPTIONS:
            values = draw(st.sets(st.sampled_from(OPTIONS[name]), min_size=1))
            dimensions[name] = Category(values=tuple(values), when=when)
        else:
            dimensions[name] = Choice(values=draw(small if name == "ffn_stacks" else few), when=when)
    constraints = draw(st.sets(st.sampled_from(CONSTRAINTS), max_size=2))
    return {"dimensions": dimensions, "constraints": sorted(constraints), "vocabulary_size": 9, "max_positions": 3}


def brute_force(dimensions, constraints, **fixed) -> set[Architecture]:
    """All valid points, by a loop over all combinations and Python's own eval."""
    found = set()
    for values in itertools.product(*(dimension.values for dimension in dimensions.values())):
        point = dict(zip(dimensions, values, strict=True))
        defaults = {"ffn_stacks": 1, "bottleneck_size": 0, "attention_input": "input", "embedding_size": 0}
        defaults |= {"norm": "layer_norm", "trigram": False}
        # Conditions depend on each other at most this often: then nothing changes any more.
        for _ in range(4):
            seen = defaults | point
            if seen["embedding_size"] == seen["hidden_size"]:
                seen["embedding_size"] = 0
            for name, dimension in dimensions.items():
                given = dict(zip(dimensions, values, strict=True))[name]
                is_there = not dimension.when or eval(dimension.when, {}, seen)
                point[name] = given if is_there else defaults[name]
        block = point.get("bottleneck_size", 0) or point["hidden_size"]
        if "head_size" not in point and block % point["heads"]:
            continue
        try:
            architecture = Architecture(**{"head_size": block // point["heads"]} | point, **fixed)
        except InvalidArchitectureError:
            continue
        costs = cost(architecture)
        names = {name: getattr(architecture, name) for name in SEARCHABLE}
        names |= {"flops": costs.flops, "parameters": costs.parameters}
        if all(eval(constraint, {}, names) for constraint in constraints):
            found.add(architecture)
    return found


@settings(max_examples=100, deadline=None)
@given(definition=definitions())
def test_columns_hold_every_valid_point_once_in_lexicographic_order(definition):
    expected = brute_force(**definition)
    if not expected:
        with pytest.raises(EmptySpaceError):
            SearchSpace(**definition)
        return
    reversed_dimensions = dict(reversed(definition["dimensions"].items()))
    space = SearchSpace(**definition | {"dimensions": reversed_dimensions})
    found = points(space)
    assert len(found) == len(expected)
    assert set(found) == expected
    order = list(zip(*(space.columns[name].tolist() for name in space.names), strict=True))
    assert order == sorted(order)
    assert [space.index(point) for point in found] == list(range(space.size))
    assert space.architectures(range(space.size)) == found


@settings(max_examples=60, deadline=None)
@given(definition=definitions())
def test_costs_of_columns_are_those_of_each_row(definition):
    try:
        space = SearchSpace(**definition, batch=2, length=5, dtype="float16")
    except EmptySpaceError:
        return
    rows = space.take(range(space.size))
    for row, point in enumerate(points(space)):
        expected = cost(point, batch=2, length=5, dtype="float16")
        for name in ("parameters", "macs", "flops", "weight_bytes", "activation_bytes"):
            assert rows[name][row] == getattr(rows.cost, name)[row] == getattr(expected, name), name


@settings(max_examples=60, deadline=None)
@given(definition=definitions(), seed=st.integers(0, 2**32))
def test_samples_and_mutations_are_in_the_space(definition, seed):
    try:
        space = SearchSpace(**definition)
    except EmptySpaceError:
        return
    generator = np.random.default_rng(seed)
    drawn = space.sample(5, generator)
    assert len(set(drawn)) == len(drawn) == min(5, space.size)
    for point in drawn + space.sample(5, generator, distinct=False):
        assert point in space
        mutant = space.mutate(point, generator)
        assert mutant in space
        assert (mutant == point) == (space.size == 1)
        assert not list(space.neighbours(point)) or mutant in list(space.neighbours(point))


@settings(max_examples=80, deadline=None)
@given(definition=definitions())
def test_neighbours_are_mutual(definition):
    try:
        space = SearchSpace(**definition)
    except EmptySpaceError:
        return
    for row in range(0, space.size, 1 + space.size // 15):
        point = space.architecture(row)
        near = list(space.neighbours(point))
        assert len(set(near)) == len(near)
        assert point not in near
        for other in near:
            assert other in space
            assert point in list(space.neighbours(other))


def test_neighbours_are_all_points_one_value_away_in_one_dimension():
    space = space_of(dimensions=DIMENSIONS | {"norm": Category(values=tuple(Norm))}).constrained("layers < 3")
    sizes = {name: list(dimension.values) for name, dimension in space.dimensions.items() if name != "norm"}

    def steps(one: Architecture, other: Architecture) -> int:
        return (one.norm != other.norm) + sum(
            abs(values.index(getattr(one, name)) - values.index(getattr(other, name))) for name, values in sizes.items()
        )

    for point in points(space)[::7]:
        expected = {other for other in points(space) if steps(point, other) == 1}
        assert set(space.neighbours(point)) == expected


def test_a_copy_in_another_process_is_the_same_space():
    space = space_of(constraints="layers < 3")
    assert space.size
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert points(again) == points(space)


def test_chunks_are_the_columns_in_parts():
    space = space_of()
    parts = [part["ffn_size"].tolist() for part in space.chunks(5)]
    assert {len(part) for part in parts[:-1]} == {5}
    assert list(itertools.chain(*parts)) == space.columns["ffn_size"].tolist()


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


def test_sampling_with_replacement_is_uniform_and_repeats():
    space = space_of().constrained("ffn_size == 16 or layers == 3")
    rows = space.sample_rows(60 * space.size, np.random.default_rng(2), distinct=False)
    drawn = np.bincount(rows, minlength=space.size)
    assert np.square(drawn - 60).sum() / 60 < 2 * space.size
    assert len(space.sample(100, np.random.default_rng(2), distinct=False)) == 100


def test_sampling_never_repeats_and_stops_at_the_whole_space():
    space = space_of()
    keys = [point.key for point in space.sample(10_000, np.random.default_rng(1))]
    assert len(keys) == len(set(keys)) == space.size


def test_sampling_follows_the_generator():
    space = space_of()
    assert space.sample(5, np.random.default_rng(3)) == space.sample(5, np.random.default_rng(3))
    assert space.sample(5, np.random.default_rng(3)) != space.sample(5, np.random.default_rng(4))


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


def test_a_bound_must_be_a_number_and_infinity_bounds_nothing():
    with pytest.raises(SearchSpaceError, match="the bound of parameters must be a number, got nan"):
        space_of().bounded(parameters=math.nan)
    assert space_of().bounded(parameters=math.inf) == space_of()
    assert space_of().bounded(layers=np.float64(2.5)).constraints == ("layers <= 2.5",)


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


def test_blocks_with_a_bottleneck_are_bound_by_the_teachers_hidden_size_alone():
    dimensions = DIMENSIONS | {"bottleneck_size": Choice(values=(0, 4)), "ffn_stacks": Choice(values=(1, 2))}
    teacher = Architecture(vocabulary_size=7, layers=2, hidden_size=12, heads=(1, 2), head_size=6, ffn_size=(0, 16))
    students = points(space_of(dimensions=dimensions).within(teacher))
    assert max(student.hidden_size for student in students) == 12
    plain = [student for student in students if not student.bottleneck_size]
    assert {student.layers for student in students} == {1, 2, 3}
    assert max(student.layers for student in plain) == max(student.heads for student in plain) == 2
    assert {student.ffn_size for student in plain} == {16}
    assert {student.ffn_stacks for student in plain} == {1}


def test_within_a_teacher_with_bottlenecks_those_with_one_are_sliced_and_the_others_free():
    dimensions = DIMENSIONS | {"bottleneck_size": Choice(values=(0, 4, 8)), "head_size": Choice(values=(2, 4))}
    teacher = Architecture(
        vocabulary_size=7, layers=2, hidden_size=12, heads=2, head_size=2, ffn_size=16, bottleneck_size=4
    )
    students = points(space_of(dimensions=dimensions).within(teacher))
    assert max(student.hidden_size for student in students) == 12
    sliced = [student for student in students if student.bottleneck_size]
    assert {student.bottleneck_size for student in sliced} == {4}
    assert max(student.layers for student in sliced) == max(student.heads for student in sliced) == 2
    assert {(student.head_size, student.ffn_size) for student in sliced} == {(2, 16)}
    free = [student for student in students if not student.bottleneck_size]
    assert max(student.layers for student in free) == 3
    assert {student.ffn_size for student in free} == {16, 32}


def test_options_that_the_space_gives_are_kept_within_a_teacher():
    teacher = replace(KNOWN["mobilebert"], bottleneck_size=0, attention_input=AttentionInput.INPUT)
    norms = {"norm": Category(values=("layer_norm",))}
    free, bound = space_of().within(teacher), space_of(dimensions=DIMENSIONS | norms).within(teacher)
    assert (free.architecture(0).norm, free.architecture(0).activation) == (Norm.NO_NORM, Activation.RELU)
    assert (bound.architecture(0).norm, bound.architecture(0).activation) == (Norm.LAYER_NORM, Activation.RELU)
    assert space_of(activation=Activation.GELU).within(teacher).architecture(0).activation is Activation.GELU


def test_students_have_their_teachers_pooler_unless_the_space_names_one():
    teacher = Architecture(
        vocabulary_size=77, layers=3, hidden_size=12, heads=3, head_size=4, ffn_size=16, pooler=Pooler.TANH
    )
    free = space_of().within(teacher)
    assert {point.pooler for point in points(free)} == {Pooler.TANH}
    without = space_of().within(replace(teacher, pooler=Pooler.NONE))
    weights = free.take([0])["parameters"] - without.take([0])["parameters"]
    assert weights.tolist() == [free.architecture(0).hidden_size * (free.architecture(0).hidden_size + 1)]
    named = space_of(dimensions=DIMENSIONS | {"pooler": Category(values=("none",))})
    assert {point.pooler for point in points(named.within(teacher))} == {Pooler.NONE}
    assert space_of(pooler=Pooler.RELU).within(teacher).architecture(0).pooler is Pooler.RELU


def test_a_dimension_whose_condition_is_false_has_the_default_and_the_point_exists_once():
    dimensions = DIMENSIONS | {"bottleneck_size": Choice(values=(4, 6), when="hidden_size >= 12")}
    space = space_of(dimensions=dimensions | {"head_size": Choice(values=(4,))})
    narrow = [point for point in points(space) if point.hidden_size < 12]
    wide = [point for point in points(space) if point.hidden_size >= 12]
    assert {point.bottleneck_size for point in narrow} == {0}
    assert {point.bottleneck_size for point in wide} == {4, 6}
    assert (len(narrow), len(wide)) == (3 * 2 * 4 * 2, 3 * 2 * 4 * 2 * 2)


def test_a_step_that_makes_a_condition_true_takes_each_value_of_the_new_dimension():
    one = {name: Choice(values=(2,)) for name in ("layers", "heads", "head_size", "ffn_size")}
    space = space_of(
        dimensions=one
        | {
            "hidden_size": Choice(values=(8, 12)),
            "bottleneck_size": Choice(values=(2, 4, 6), when="hidden_size == 12"),
        }
    )
    narrow = space.architecture(0)
    assert [near.bottleneck_size for near in space.neighbours(narrow)] == [2, 4, 6]
    assert narrow in list(space.neighbours(space.architecture(2)))
    assert {near.bottleneck_size for near in space.neighbours(space.architecture(2))} == {0, 2, 6}


def test_any_other_option_is_one_step_away():
    space = space_of(dimensions=DIMENSIONS | {"pooler": Category(values=("relu", "none", "tanh"))})
    point = space.architecture(0)
    assert {near.pooler for near in space.neighbours(point)} == {"none", "tanh", "relu"}


def test_a_mutation_without_neighbours_goes_to_the_points_that_differ_least():
    space = space_of(dimensions=DIMENSIONS | {"ffn_size": Choice(values=(32, 48, 96))}).constrained(
        "ffn_size == 4 * hidden_size", "layers == 1", "heads == hidden_size // 4"
    )
    assert {(point.hidden_size, point.heads, point.ffn_size) for point in points(space)} == {(8, 2, 32), (12, 3, 48)}
    first, second = points(space)
    assert not list(space.neighbours(first))
    assert space.mutate(first, np.random.default_rng(0)) == second


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": DIMENSIONS | {"width": Choice(values=(1,))}}, "unknown dimension 'width'; known are layers"),
        ({"dimensions": {"layers": Choice(values=(1,))}}, "dimension 'hidden_size' is missing"),
        ({"dimensions": DIMENSIONS | {"layers": IntegerRange(low=0, high=2)}}, "layers must be at least 1, got 0"),
        ({"dimensions": DIMENSIONS | {"layers": IntegerRange(low=1, high=9_999)} | {
            "ffn_size": IntegerRange(low=1, high=9_999)}}, "grid points, more than 25,000,000: use larger steps"),
        ({"dimensions": DIMENSIONS | {"hidden": Choice(values=(1,))}}, r"did you mean 'hidden_size'\?"),
        ({"dimensions": DIMENSIONS | {"norm": Category(values=("layernorm",))}},
            r"norm: unknown value 'layernorm' \(did you mean 'layer_norm'\?\); known are layer_norm, no_norm"),
        ({"dimensions": DIMENSIONS | {"trigram": Category(values=("yes",))}}, "unknown value 'yes'; known are False, "),
        ({"dimensions": DIMENSIONS | {"norm": Choice(values=(1,))}}, "norm is an option, not a size: give a category"),
        ({"dimensions": DIMENSIONS | {"layers": Category(values=("2",))}}, "layers is a size: give a range or"),
        ({"dimensions": DIMENSIONS | {"layers": Choice(values=(1,), when="heads > 1")}}, "layers cannot have a con"),
        ({"dimensions": DIMENSIONS | {"ffn_stacks": Choice(values=(1,), when="depth > 1")}},
            "the condition of ffn_stacks: 'depth > 1' has an unknown name 'depth'"),
        ({"dimensions": DIMENSIONS | {"ffn_stacks": Choice(values=(1,), when="flops > 1")}}, "unknown name 'flops'"),
        ({"dimensions": DIMENSIONS | {"ffn_stacks": Choice(values=(2,), when="ffn_stacks > 1")}},
            "conditions go in a circle: ffn_stacks depends on ffn_stacks"),
        ({"dimensions": DIMENSIONS | {
            "ffn_stacks": Choice(values=(2,), when="bottleneck_size > 1"),
            "bottleneck_size": Choice(values=(2,), when="ffn_stacks > 1")}}, "circle: .* depends on .* depends on "),
        ({"dimensions": DIMENSIONS | {"ffn_size": Choice(values=(8, 10**30))}}, "too large .* a ffn_size of up to 1,0"),
        ({"dimensions": DIMENSIONS | {"layers": Choice(values=(10**17,))}}, "too large .* layers of up to 100,000,000"),
        ({"vocabulary_size": 10**18}, "too large .* vocabulary_size of up to 1,000,000,000,000,000,000"),
        ({"length": 10**18}, "too large .* length of up to 1,000,000,000,000,000,000"),
        ({"constraints": ("latency <= 3",)}, "'latency <= 3' has an unknown name 'latency'"),
        ({"constraints": ("layers / (layers - 1) > 3",)}, "divides by zero: layers - 1 can be 0"),
        ({"dimensions": DIMENSIONS | {"layers": [1, 2]}}, "layers must be a range, a choice or a "),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"activation": "tanh"}, "activation must be one of gelu, relu, got 'tanh'"),
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


def test_a_bottleneck_that_nothing_divides_is_named():
    odd = DIMENSIONS | {"bottleneck_size": Choice(values=(7,)), "heads": Choice(values=(2, 3))}
    with pytest.raises(EmptySpaceError, match=r"no bottleneck_size of \[7\] can be divided .* heads of \[2, 3\]"):
        space_of(dimensions=odd)


def test_an_attention_input_without_a_bottleneck_is_named():
    with pytest.raises(EmptySpaceError, match="no point has a bottleneck_size, and without one attention_input can"):
        space_of(dimensions=DIMENSIONS | {"attention_input": Category(values=("shared",))})


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (["ffn_size == 5 * hidden_size"], "no architecture left has ffn_size == 5 [*] hidden_size"),
        (["layers >= 9"], "no architecture left has layers >= 9; the largest has 3"),
        (["0.05 > hidden_size / ffn_size"], r"left has hidden_size / ffn_size < 0\.05; the smallest has 0\.0625"),
        (["flops < 3", "layers <= 0"], "no architecture left has layers <= 0; the smallest has 1"),
        (["hidden_size == 2", "heads > 2"], "no architecture left has heads > 2; the largest has 2"),
        (["norm == 'no_norm'"], "no architecture left has norm == 'no_norm'"),
    ],
)
def test_an_empty_space_names_the_constraint_that_emptied_it(constraints, message):
    dimensions = DIMENSIONS | {"hidden_size": Choice(values=(2, 8, 12))}
    with pytest.raises(EmptySpaceError, match=message):
        space_of(dimensions=dimensions, constraints=constraints)


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
