"""Students cut out of their teacher."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from encoders.build import build
from encoders.errors import InitialisationError
from encoders.initialisation import initialise_from_teacher
from encoders.values import Head
from search_space import Activation

HEAD = Head(classes=3)


@pytest.fixture
def teacher(architecture, scramble):
    model = build(architecture, HEAD)
    scramble(model)
    return model


@pytest.fixture
def ids():
    return torch.randint(0, 60, (4, 10), generator=torch.Generator().manual_seed(0))


def test_a_student_of_the_teachers_shape_computes_what_the_teacher_computes(architecture, teacher, ids):
    student = build(architecture, HEAD, seed=5)
    initialise_from_teacher(student, teacher)
    assert torch.equal(student(ids).logits, teacher(ids).logits)


def test_a_shallow_student_computes_the_teachers_lower_layers(architecture, teacher, ids):
    student = build(dataclasses.replace(architecture, layers=2), HEAD, seed=5)
    initialise_from_teacher(student, teacher)
    of_teacher = teacher(ids, output_hidden_states=True).hidden_states
    for mine, theirs in zip(student(ids, output_hidden_states=True).hidden_states, of_teacher, strict=False):
        torch.testing.assert_close(mine, theirs)


def test_fewer_heads_stand_for_all_of_the_teachers(architecture, teacher, ids):
    student = build(dataclasses.replace(architecture, heads=3), HEAD)
    initialise_from_teacher(student, teacher)
    with torch.no_grad():
        for layer in teacher.encoder.layers:
            layer.attention.output.weight[:, 3 * architecture.head_size :] = 0
            layer.attention.output.weight *= 4 / 3
    torch.testing.assert_close(student(ids).logits, teacher(ids).logits, atol=1e-5, rtol=1e-5)


def test_fewer_neurons_stand_for_all_of_the_teachers(architecture, teacher, ids):
    student = build(dataclasses.replace(architecture, ffn_size=25), HEAD)
    initialise_from_teacher(student, teacher)
    with torch.no_grad():
        for layer in teacher.encoder.layers:
            layer.feed_forward.down.weight[:, 25:] = 0
            layer.feed_forward.down.weight *= 40 / 25
    torch.testing.assert_close(student(ids).logits, teacher(ids).logits, atol=1e-5, rtol=1e-5)


def test_smaller_heads_keep_the_leading_units_of_each_head(architecture, teacher):
    student = build(dataclasses.replace(architecture, heads=2, head_size=3, hidden_size=10), HEAD)
    initialise_from_teacher(student, teacher)
    mine, theirs = student.encoder.layers[1].attention, teacher.encoder.layers[1].attention
    rows = [0, 1, 2, 7, 8, 9]  # of heads of 7 units: the first 3 of the first two
    for name in ("query", "key", "value"):
        weight = getattr(theirs, name).weight[rows, :10] * (24 / 10)
        torch.testing.assert_close(getattr(mine, name).weight, weight)
        assert torch.equal(getattr(mine, name).bias, getattr(theirs, name).bias[rows])
    torch.testing.assert_close(mine.output.weight, theirs.output.weight[:10][:, rows] * (28 / 6))
    assert torch.equal(mine.output.bias, theirs.output.bias[:10])


def test_narrower_hidden_states_are_the_leading_units_and_what_reads_them_is_scaled(architecture, teacher):
    student = build(dataclasses.replace(architecture, hidden_size=16, max_positions=8, token_types=1), HEAD)
    initialise_from_teacher(student, teacher)
    mine, theirs = student.encoder, teacher.encoder
    assert torch.equal(mine.embeddings.word.weight, theirs.embeddings.word.weight[:, :16])
    assert torch.equal(mine.embeddings.position.weight, theirs.embeddings.position.weight[:8, :16])
    assert torch.equal(mine.embeddings.token_type.weight, theirs.embeddings.token_type.weight[:1, :16])
    assert torch.equal(mine.embeddings.norm.bias, theirs.embeddings.norm.bias[:16])
    for own, other in zip(mine.layers, theirs.layers, strict=True):
        torch.testing.assert_close(own.feed_forward.up.weight, other.feed_forward.up.weight[:, :16] * 1.5)
        assert torch.equal(own.feed_forward.down.weight, other.feed_forward.down.weight[:16])
        assert torch.equal(own.attention_norm.weight, other.attention_norm.weight[:16])
    torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight[:, :16] * 1.5)


def test_a_student_without_types_computes_what_the_teacher_does_for_type_zero(architecture, teacher, ids):
    student = build(dataclasses.replace(architecture, token_types=0), HEAD)
    initialise_from_teacher(student, teacher)
    torch.testing.assert_close(student(ids).logits, teacher(ids).logits, atol=1e-5, rtol=1e-5)


def test_another_number_of_classes_leaves_the_classifier_as_built(architecture, teacher):
    student = build(architecture, Head(classes=2))
    built = student.classifier.weight.clone()
    initialise_from_teacher(student, teacher)
    assert torch.equal(student.classifier.weight, built)
    assert torch.equal(student.encoder.embeddings.word.weight, teacher.encoder.embeddings.word.weight)


def test_student_and_teacher_share_no_memory(architecture, teacher):
    student = build(architecture, HEAD)
    initialise_from_teacher(student, teacher)
    before = teacher.encoder.embeddings.word.weight.clone()
    with torch.no_grad():
        student.encoder.embeddings.word.weight.zero_()
    assert torch.equal(teacher.encoder.embeddings.word.weight, before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", 4),
        ("hidden_size", 25),
        ("heads", 5),
        ("head_size", 8),
        ("ffn_size", 41),
        ("max_positions", 21),
        ("token_types", 3),
        ("vocabulary_size", 59),
        ("activation", Activation.RELU),
    ],
)
def test_what_the_teacher_cannot_give_is_refused_by_name_and_nothing_changes(architecture, teacher, name, value):
    student = build(dataclasses.replace(architecture, **{name: value}), HEAD)
    before = {key: tensor.clone() for key, tensor in student.state_dict().items()}
    with pytest.raises(InitialisationError, match=f"the student's {name} of {value}"):
        initialise_from_teacher(student, teacher)
    assert all(torch.equal(tensor, before[key]) for key, tensor in student.state_dict().items())
