import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.errors import TeacherError
from distillation.matching import explicit, first, last, last1, match, uniform
from distillation.recipe import Matching


def test_uniform_takes_every_third_layer_of_twelve_for_four():
    assert uniform(12, 4) == ((2, 0), (5, 1), (8, 2), (11, 3))


@given(st.integers(1, 48).flatmap(lambda teacher: st.tuples(st.just(teacher), st.integers(1, teacher))))
def test_uniform_matches_every_student_layer_upwards_and_last_with_last(sizes):
    teacher, student = sizes
    pairs = uniform(teacher, student)
    assert [index for _, index in pairs] == list(range(student))
    taught_by = [index for index, _ in pairs]
    assert taught_by == sorted(set(taught_by))
    assert taught_by[0] >= 0
    assert taught_by[-1] == teacher - 1


def test_match_knows_every_matching_and_explicit_pairs():
    pairs = {matching: match(matching, teacher_layers=4, student_layers=2) for matching in Matching}
    assert pairs == {
        Matching.FIRST: first(4, 2),
        Matching.LAST: last(4, 2),
        Matching.UNIFORM: uniform(4, 2),
        Matching.LAST1: last1(4, 2),
        Matching.EMD: tuple((teacher, student) for teacher in range(4) for student in range(2)),
    }
    assert match(((3, 0),), teacher_layers=4, student_layers=2) == ((3, 0),)


def test_a_student_deeper_than_its_teacher_is_refused():
    with pytest.raises(TeacherError, match="teacher of 2 layers cannot be matched to 3"):
        match(Matching.UNIFORM, teacher_layers=2, student_layers=3)


SIZES = st.integers(1, 48).flatmap(lambda teacher: st.tuples(st.just(teacher), st.integers(1, teacher)))


def test_first_last_and_uniform_of_six_for_four():
    assert first(6, 4) == ((0, 0), (1, 1), (2, 2), (3, 3))
    assert last(6, 4) == ((2, 0), (3, 1), (4, 2), (5, 3))
    assert uniform(6, 4) == ((0, 0), (2, 1), (3, 2), (5, 3))


@given(SIZES)
def test_every_map_gives_each_student_layer_a_teacher_layer_of_its_own_upwards(sizes):
    teacher, student = sizes
    for layer_map in (first, last, uniform):
        pairs = layer_map(teacher, student)
        assert [index for _, index in pairs] == list(range(student))
        assert list(pairs) == sorted(set(pairs))
        assert explicit(pairs, teacher, student) == pairs


@given(st.integers(1, 48))
def test_with_as_many_layers_every_map_is_the_identity(layers):
    assert first(layers, layers) == last(layers, layers) == uniform(layers, layers)


@pytest.mark.parametrize("layer_map", [first, last, uniform])
def test_maps_of_every_student_layer_refuse_a_deeper_student(layer_map):
    with pytest.raises(TeacherError, match="teacher of 2 layers cannot be matched to 3"):
        layer_map(2, 3)


@pytest.mark.parametrize("sizes", [(12, 4), (4, 12), (1, 1)])
def test_last1_is_the_last_pair_whichever_is_deeper(sizes):
    teacher, student = sizes
    assert last1(teacher, student) == ((teacher - 1, student - 1),)


def test_last1_may_read_another_teacher_layer():
    assert last1(24, 6, teacher_layer=20) == ((20, 5),)
    with pytest.raises(TeacherError, match=r"teacher layer 24; the teacher's layers are 0 to 23"):
        last1(24, 6, teacher_layer=24)


def test_explicit_pairs_are_kept_in_order_and_layers_may_repeat():
    assert explicit([[3, 1], [3, 0], [0, 0]], 4, 6) == ((3, 1), (3, 0), (0, 0))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 0), (4, 1)], r"pair \[4, 1\] .* teacher layer 4; the teacher's layers are 0 to 3"),
        ([(3, 2)], r"pair \[3, 2\] .* student layer 2; the student's layers are 0 to 1"),
        ([(-1, 0)], r"pair \[-1, 0\] .* teacher layer -1"),
        ([(0, -1)], r"pair \[0, -1\] .* student layer -1"),
        ([(1, 1), (1, 1)], r"pair \[1, 1\] .* twice"),
        ([], "no pair"),
    ],
)
def test_explicit_pairs_that_cannot_be_are_named(pairs, message):
    with pytest.raises(TeacherError, match=message):
        explicit(pairs, 4, 2)
