from itertools import pairwise

import pytest

from distillation.criterion import Criterion, Pupil
from distillation.optimiser import Rates, build_optimiser, schedule
from distillation.teaching import LiveTeaching
from encoders.build import build, head_of


def test_every_parameter_is_in_one_group_with_its_rate_and_decay(teacher, shape, recipe):
    student = build(shape(), head_of(teacher.config))
    criterion = Criterion(recipe.stages[0].terms, Pupil(model=student), LiveTeaching(teacher))
    rates = Rates(embeddings=recipe.embedding_learning_rate, rest=recipe.learning_rate)
    student.encoder.layers[1].requires_grad_(False)
    optimiser = build_optimiser(student, criterion, rates, weight_decay=recipe.weight_decay)
    names = {
        id(weight): name
        for module in (student, criterion)
        for name, weight in module.named_parameters()
        if weight.requires_grad
    }
    settings = {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for weight in group["params"]
    }
    assert len(settings) == len(names) == sum(len(group["params"]) for group in optimiser.param_groups)
    assert settings["encoder.embeddings.word.weight"] == (recipe.embedding_learning_rate, recipe.weight_decay)
    assert settings["encoder.layers.0.attention.query.weight"] == (recipe.learning_rate, recipe.weight_decay)
    assert settings["encoder.layers.0.attention.query.bias"] == (recipe.learning_rate, 0.0)
    assert settings["encoder.embeddings.norm.weight"] == (recipe.learning_rate, 0.0)
    assert settings["layers.0.projections.3 1.weight"] == (recipe.learning_rate, recipe.weight_decay)


def test_learning_rate_rises_to_its_peak_and_falls_towards_zero():
    shares = [schedule(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * number for number in range(1, 11)])
    assert shares[10] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in pairwise(shares[10:]))
    assert 0 < shares[-1] < 0.02


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.1), (2, 0.0), (1, 0.0), (3, 0.9)])
def test_learning_rate_of_short_trainings_is_a_positive_share(steps, warmup):
    assert all(0 < schedule(step, steps, warmup) <= 1 for step in range(steps))
