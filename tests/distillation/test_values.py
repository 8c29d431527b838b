import math

import pytest

from distillation.values import Dataset, Recipe, Teacher, Weights


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize(
    "name", ["learning_rate", "embedding_learning_rate", "gradient_clip", "temperature", "weight_decay", "warmup"]
)
def test_a_recipe_takes_finite_numbers_and_names_the_one_that_is_not(name, value):
    with pytest.raises(ValueError, match=f"{name} .* got {value}"):
        Recipe(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("name", ["epochs", "learning_rate"])
def test_a_teacher_takes_finite_numbers_and_names_the_one_that_is_not(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a number above 0, got {value}"):
        Teacher(model="built-in", **{name: value})


def test_weights_must_leave_something_to_learn():
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        Weights(logits=0, hidden_states=0, hard_labels=0)
    with pytest.raises(ValueError, match="hidden_states must be a number of at least 0, got nan"):
        Weights(hidden_states=math.nan)


@pytest.mark.parametrize("made", [lambda: Teacher(model=" "), lambda: Dataset(source="")])
def test_an_empty_name_is_refused(made):
    with pytest.raises(ValueError, match="names a"):
        made()
