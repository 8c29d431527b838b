from dataclasses import replace

import pytest
import torch

from distillation.batches import TrainingBatches
from distillation.criterion import LabelCriterion, TeacherCriterion
from distillation.losses import hard_labels, soft_labels
from distillation.values import Weights
from encoders.build import architecture_of, build, head_of
from encoders.initialisation import initialise_from_teacher


@pytest.fixture
def batch(data):
    return TrainingBatches(data.train, data.tokenizer, batch_size=8, max_length=12, seed=0)(0)


@pytest.fixture
def student(shape, teacher):
    return build(shape(), head_of(teacher.config), seed=1)


def value(teacher, student, batch, recipe, **weights):
    given = {"logits": 0.0, "hidden_states": 0.0, "hard_labels": 0.0} | weights
    return float(TeacherCriterion(teacher, student, replace(recipe, weights=Weights(**given)))(student, batch).detach())


def test_a_copy_of_the_teacher_has_nothing_to_learn(teacher, batch, recipe):
    copy = build(architecture_of(teacher.config), head_of(teacher.config), seed=99)
    initialise_from_teacher(copy, teacher)
    assert value(teacher, copy, batch, recipe, logits=1.0, hidden_states=1.0) == pytest.approx(0, abs=1e-6)
    other = build(architecture_of(teacher.config), head_of(teacher.config), seed=99)
    assert value(teacher, other, batch, recipe, logits=1.0, hidden_states=1.0) > 0.1


def test_the_terms_are_weighed_and_added(teacher, student, batch, recipe):
    inputs = (batch.input_ids, batch.attention_mask)
    with torch.no_grad():
        learned, taught = student(*inputs).logits, teacher(*inputs).logits
    soft = float(soft_labels(learned, taught, recipe.temperature).mean())
    hard = float(hard_labels(learned, batch.labels).mean())
    hidden = value(teacher, student, batch, recipe, hidden_states=1.0)
    assert value(teacher, student, batch, recipe, logits=3.0) == pytest.approx(3 * soft, rel=1e-4)
    assert value(teacher, student, batch, recipe, hard_labels=2.0) == pytest.approx(2 * hard, rel=1e-4)
    together = value(teacher, student, batch, recipe, logits=1.0, hidden_states=0.5, hard_labels=0.25)
    assert together == pytest.approx(soft + 0.5 * hidden + 0.25 * hard, rel=1e-4)


def test_hidden_states_weigh_the_same_however_deep_the_student_is(teacher, batch, recipe, shape):
    copy = build(architecture_of(teacher.config), head_of(teacher.config))
    initialise_from_teacher(copy, teacher)
    with torch.no_grad():
        for module in (copy.encoder.embeddings.norm, *(layer.feed_forward[-1].norm for layer in copy.encoder.layers)):
            module.weight.mul_(2)
    # One mean over the pairs, so of the order of one pair's, not of five.
    hidden = value(teacher, copy, batch, recipe, hidden_states=1.0)
    assert 0.5 < hidden < 3


def test_gradients_reach_student_and_projections_but_not_the_teacher(teacher, student, batch, recipe):
    criterion = TeacherCriterion(teacher, student, recipe)
    assert len(criterion.projections) == student.config.layers + 1
    criterion(student, batch).backward()
    assert all(weight.grad is not None for weight in criterion.parameters())
    assert student.encoder.layers[0].attention.query.weight.grad is not None
    assert all(weight.grad is None for weight in teacher.parameters())


def test_the_teacher_is_no_part_of_what_is_trained_and_saved(teacher, student, recipe):
    criterion = TeacherCriterion(teacher, student, recipe)
    assert all(name.startswith("projections.") for name in criterion.state_dict())
    same_width = TeacherCriterion(teacher, build(architecture_of(teacher.config), head_of(teacher.config)), recipe)
    assert not same_width.state_dict()


def test_without_hidden_states_nothing_is_projected_or_matched(teacher, shape, batch, recipe):
    deeper = build(shape(layers=6), head_of(teacher.config))
    criterion = TeacherCriterion(teacher, deeper, replace(recipe, weights=Weights(hidden_states=0.0)))
    assert not criterion.state_dict()
    assert criterion(deeper, batch).isfinite()


def test_labels_alone_are_smoothed_cross_entropy(student, batch):
    with torch.no_grad():
        logits = student(batch.input_ids, batch.attention_mask).logits
        expected = torch.nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1)
        assert torch.allclose(LabelCriterion(smoothing=0.1)(student, batch), expected)
