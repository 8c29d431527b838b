import math

import pytest

from distillation.values import Dataset, Teacher


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("name", ["epochs", "learning_rate"])
def test_a_teacher_takes_finite_numbers_and_names_the_one_that_is_not(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a number above 0, got {value}"):
        Teacher(model="built-in", **{name: value})


@pytest.mark.parametrize("made", [lambda: Teacher(model=" "), lambda: Dataset(source="")])
def test_an_empty_name_is_refused(made):
    with pytest.raises(ValueError, match="names a"):
        made()
