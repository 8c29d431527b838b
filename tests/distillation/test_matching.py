import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.errors import TeacherError
from distillation.matching import match, uniform
from distillation.values import Matching


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


def test_match_pairs_the_embeddings_first_and_counts_hidden_states():
    assert match(Matching.UNIFORM, teacher_layers=4, student_layers=2) == ((0, 0), (2, 1), (4, 2))


def test_a_student_deeper_than_its_teacher_is_refused():
    with pytest.raises(TeacherError, match="teacher of 2 layers cannot be matched to 3"):
        match(Matching.UNIFORM, teacher_layers=2, student_layers=3)
