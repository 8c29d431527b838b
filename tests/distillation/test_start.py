"""Where a student starts."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from distillation.batches import TrainingBatches
from distillation.recipe import Rescaling
from distillation.start import Origin, begin, likeness
from encoders import initialisation
from encoders.build import build
from encoders.initialisation import initialise_from_teacher
from encoders.values import Head, HeadKind

CPU = torch.device("cpu")
STUDENT = {"layers": 4, "hidden_size": 24, "heads": 3, "ffn_size": 16}


@pytest.fixture
def batches(data, recipe):
    return TrainingBatches(
        data.train, data.tokenizer, batch_size=recipe.batch_size, max_length=recipe.max_length, seed=3
    )


@pytest.fixture
def begun(data, recipe, shape, batches):
    """A student of half the neurons, begun in this way."""

    def start(teacher, rescaling, **changes):
        student = build(shape(**STUDENT), Head(classes=3), data.classes, seed=1)
        asked = replace(recipe, rescaling=rescaling, **changes)
        begin(student, asked, origin=Origin(model=teacher), previous=None, batches=batches, device=CPU)
        return student

    return start


def with_neurons(teacher, second_half):
    """The teacher with a second half of its neurons that is a copy of the first, or that writes nothing."""
    made = copy.deepcopy(teacher)
    with torch.no_grad():
        for layer in made.encoder.layers:
            up, down = layer.feed_forward[0].up, layer.feed_forward[0].down
            up.weight[16:], up.bias[16:] = up.weight[:16].clone(), up.bias[:16].clone()
            down.weight[:, 16:] = down.weight[:, :16].clone() if second_half == "copies" else 0.0
    return made.train(False)


@pytest.mark.parametrize(("second_half", "exact"), [("copies", Rescaling.SUM), ("silent", Rescaling.VARIANCE)])
def test_auto_takes_the_start_that_decides_as_its_origin_does(teacher, batches, begun, second_half, exact):
    whole = with_neurons(teacher, second_half)
    other = next(each for each in (Rescaling.SUM, Rescaling.VARIANCE) if each is not exact)
    found, worse = begun(whole, Rescaling.AUTO), begun(whole, other)
    texts = [batches(step) for step in range(2)]
    for batch in texts:
        inputs = batch.input_ids, batch.attention_mask
        torch.testing.assert_close(found(*inputs).logits, whole(*inputs).logits, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(worse(*inputs).logits, whole(*inputs).logits, atol=1e-3)
    kind = HeadKind.CLASSIFICATION
    assert likeness(found, whole, texts, kind) == pytest.approx(1)
    assert likeness(worse, whole, texts, kind) < 1


@pytest.mark.parametrize("rescaling", [Rescaling.SUM, Rescaling.VARIANCE])
def test_named_rescaling_is_the_encoders(data, teacher, shape, begun, rescaling):
    expected = build(shape(**STUDENT), Head(classes=3), data.classes, seed=1)
    initialise_from_teacher(expected, teacher, rescaling=initialisation.Rescaling(rescaling))
    found = begun(teacher, rescaling)
    assert all(torch.equal(found.state_dict()[name], each) for name, each in expected.state_dict().items())


def test_auto_leaves_no_trace_of_what_it_tried(teacher, begun):
    whole = with_neurons(teacher, "copies")
    found, expected = begun(whole, Rescaling.AUTO).state_dict(), begun(whole, Rescaling.SUM).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_random_student_is_left_as_built(data, teacher, shape, begun):
    built = build(shape(**STUDENT), Head(classes=3), data.classes, seed=1).state_dict()
    found = begun(teacher, Rescaling.AUTO, initialisation="random").state_dict()
    assert all(torch.equal(found[name], built[name]) for name in built)


def test_likeness_is_pearsons_correlation_over_all_logits(data, teacher, batches, begun):
    student, texts = begun(teacher, Rescaling.SUM), [batches(step) for step in range(3)]
    with torch.no_grad():
        x, y = (
            torch.cat([model(each.input_ids, each.attention_mask).logits.flatten() for each in texts])
            for model in (student, teacher)
        )
    expected = float(torch.corrcoef(torch.stack([x, y]))[0, 1])
    assert likeness(student, teacher, texts, HeadKind.CLASSIFICATION) == pytest.approx(expected, abs=1e-5)


def test_likeness_of_what_says_always_the_same_is_the_least(teacher, batches):
    constant = copy.deepcopy(teacher)
    with torch.no_grad():
        constant.classifier.weight.zero_()
        constant.classifier.bias.fill_(1.0)
    texts = [batches(0)]
    assert likeness(constant, teacher, texts, HeadKind.CLASSIFICATION) == -1
    with torch.no_grad():
        constant.classifier.bias.fill_(math.nan)
    assert likeness(constant, teacher, texts, HeadKind.CLASSIFICATION) == -1
