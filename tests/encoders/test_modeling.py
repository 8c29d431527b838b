"""The torch encoder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from encoders.build import build
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import Head, Pooling
from search_space import Activation, Architecture, SearchSpace, parameter_count, preset

LENGTHS = (9, 4, 1)


def batch(architecture: Architecture, padding: int = 0):
    """Token ids and mask of three texts, with `padding` columns of random tokens behind the longest."""
    generator = torch.Generator().manual_seed(1)
    length = max(LENGTHS) + padding
    ids = torch.randint(5, architecture.vocabulary_size, (len(LENGTHS), length), generator=generator)
    mask = (torch.arange(length)[None, :] < torch.tensor(LENGTHS)[:, None]).long()
    return ids, mask


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("token_types", [0, 1, 2])
def test_encoder_has_as_many_parameters_as_the_closed_form_says(architecture, token_types):
    shape = dataclasses.replace(architecture, token_types=token_types)
    assert count(build(shape, Head(classes=3)).encoder) == parameter_count(shape)


def test_random_architectures_have_as_many_parameters_as_the_closed_form_says():
    space = SearchSpace(dimensions=preset("bert").dimensions, vocabulary_size=211, max_positions=16)
    for shape in space.sample(8, np.random.default_rng(0)):
        assert count(build(shape, Head(classes=2)).encoder) == parameter_count(shape)


@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("activation", list(Activation))
def test_a_text_gives_the_same_alone_as_padded_in_a_batch(architecture, scramble, pooling, activation):
    model = build(dataclasses.replace(architecture, activation=activation), Head(classes=3, pooling=pooling))
    scramble(model)
    ids, mask = batch(architecture, padding=5)
    together = model(ids, mask, output_hidden_states=True)
    for row, length in enumerate(LENGTHS):
        alone = model(ids[row : row + 1, :length], output_hidden_states=True)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        for padded, bare in zip(together.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(padded[row, :length], bare[0], atol=1e-5, rtol=1e-5)


def test_what_stands_in_the_padding_changes_nothing(architecture, scramble):
    model = build(architecture, Head(classes=3))
    scramble(model)
    ids, mask = batch(architecture, padding=3)
    other = torch.where(mask.bool(), ids, 5)
    assert not torch.equal(ids, other)
    assert torch.equal(model(ids, mask).logits, model(other, mask).logits)


def test_gradients_do_not_flow_into_padding(architecture):
    model = build(architecture, Head(classes=3))
    ids = torch.tensor([[7, 8, 0, 0]])
    model(ids, torch.tensor([[1, 1, 0, 0]]), labels=torch.tensor([1])).loss.backward()
    gradient = model.encoder.embeddings.word.weight.grad
    assert gradient[7].abs().sum() > 0
    assert gradient[0].abs().sum() == 0


def test_a_text_without_tokens_has_finite_logits_and_leaves_the_others_alone(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    expected = model(ids, mask).logits
    empty = mask.clone()
    empty[1] = 0
    logits = model(ids, empty).logits
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits[[0, 2]], expected[[0, 2]])


def test_hidden_states_come_only_when_asked_for_embeddings_first(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    assert model(ids, mask).hidden_states is None
    asked = model(ids, mask, output_hidden_states=True).hidden_states
    assert len(asked) == architecture.layers + 1
    assert all(state.shape == (*ids.shape, architecture.hidden_size) for state in asked)
    torch.testing.assert_close(asked[0], model.encoder.embeddings(ids, None))
    torch.testing.assert_close(asked[-1], model.encoder(ids, mask).last_hidden_state)


def test_cls_pooling_reads_the_first_token_and_mean_pooling_the_real_ones(architecture, scramble):
    ids, mask = batch(architecture)
    for pooling in Pooling:
        model = build(architecture, Head(classes=3, pooling=pooling))
        scramble(model)
        hidden = model.encoder(ids, mask).last_hidden_state
        pooled = {
            Pooling.CLS: hidden[:, 0],
            Pooling.MEAN: torch.stack([hidden[row, :length].mean(dim=0) for row, length in enumerate(LENGTHS)]),
        }[pooling]
        torch.testing.assert_close(model(ids, mask).logits, model.classifier(pooled))


def test_no_types_means_type_zero_and_other_types_change_the_output(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    untyped = model(ids, mask).logits
    torch.testing.assert_close(model(ids, mask, torch.zeros_like(ids)).logits, untyped)
    assert not torch.allclose(model(ids, mask, torch.ones_like(ids)).logits, untyped)


def test_a_model_without_types_ignores_them(architecture):
    model = build(dataclasses.replace(architecture, token_types=0), Head(classes=3))
    ids, mask = batch(architecture)
    assert torch.equal(model(ids, mask, torch.ones_like(ids)).logits, model(ids, mask).logits)


def test_labels_give_the_cross_entropy(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    labels = torch.tensor([0, 2, 1])
    output = model(ids, mask, labels=labels)
    expected = -output.logits.log_softmax(dim=1)[torch.arange(3), labels].mean()
    torch.testing.assert_close(output.loss, expected)


def test_tuples_come_when_asked_for(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    (logits,) = model(ids, mask, return_dict=False)
    assert torch.equal(logits, model(ids, mask).logits)


def test_dropout_acts_only_in_training(architecture):
    model = build(architecture, Head(classes=3))
    config = StillhouseConfig.from_dict(model.config.to_dict() | {"dropout": 0.5})
    dropped = type(model)(config)
    dropped.load_state_dict(model.state_dict())
    ids, mask = batch(architecture)
    dropped.train(False)
    torch.testing.assert_close(dropped(ids, mask).logits, model(ids, mask).logits)
    dropped.train()
    assert not torch.equal(dropped(ids, mask).logits, dropped(ids, mask).logits)


def test_a_text_longer_than_the_positions_is_refused_with_both_numbers(architecture):
    model = build(architecture, Head(classes=3))
    with pytest.raises(ValueError, match=r"21 tokens.*20 positions"):
        model(torch.ones(1, 21, dtype=torch.long))


@pytest.mark.parametrize("setting", [{"activation": "swish"}, {"pooling": "max"}])
def test_unknown_settings_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=next(iter(setting.values()))):
        StillhouseConfig(**setting)
