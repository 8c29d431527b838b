"""The torch encoder."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from encoders.build import build
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import Head, HeadKind, Pooling
from search_space import Architecture, parameter_count

LENGTHS = (9, 4, 1)
HEADS = {
    HeadKind.CLASSIFICATION: Head(classes=3),
    HeadKind.REGRESSION: Head(kind=HeadKind.REGRESSION),
    HeadKind.TOKEN_CLASSIFICATION: Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3),
    HeadKind.QUESTION_ANSWERING: Head(kind=HeadKind.QUESTION_ANSWERING),
    HeadKind.MASKED_LM: Head(kind=HeadKind.MASKED_LM),
}
BOTTLENECK = {"bottleneck_size": 12, "embedding_size": 10, "trigram": True, "norm": "no_norm", "activation": "relu"}
FAMILY = {
    "plain": {},
    "pooler, no types": {"pooler": "tanh", "token_types": 0},
    "narrow embeddings": {"embedding_size": 10, "pooler": "relu"},
    "bottleneck": BOTTLENECK | {"ffn_stacks": 3},
    "shared bottleneck": BOTTLENECK | {"attention_input": "shared"},
    "attention in the bottleneck": BOTTLENECK | {"attention_input": "bottleneck", "norm": "layer_norm"},
    "wide bottleneck": {"bottleneck_size": 40},
    "sliced": {"heads": (4, 0, 1), "ffn_size": (40, 7, 0)},
    "sliced shared bottleneck": BOTTLENECK | {"attention_input": "shared", "heads": (4, 0, 1), "ffn_size": (40, 7, 0)},
}
"""What an architecture of every kind differs in from the plain one."""


def batch(architecture: Architecture, padding: int = 0):
    """Token ids and mask of three texts, with `padding` columns of random tokens behind the longest."""
    generator = torch.Generator().manual_seed(1)
    length = max(LENGTHS) + padding
    ids = torch.randint(5, architecture.vocabulary_size, (len(LENGTHS), length), generator=generator)
    mask = (torch.arange(length)[None, :] < torch.tensor(LENGTHS)[:, None]).long()
    return ids, mask


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(params=FAMILY)
def member(request, architecture) -> Architecture:
    """An architecture of every kind of the family."""
    return dataclasses.replace(architecture, **FAMILY[request.param])


def test_encoder_has_as_many_parameters_as_the_closed_form_says(member):
    assert count(build(member, Head(classes=3)).encoder) == parameter_count(member)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_text_gives_the_same_alone_as_padded_in_a_batch(member, scramble, pooling):
    model = build(member, Head(classes=3, pooling=pooling))
    scramble(model)
    ids, mask = batch(member, padding=5)
    together = model(ids, mask, output_hidden_states=True)
    for row, length in enumerate(LENGTHS):
        alone = model(ids[row : row + 1, :length], output_hidden_states=True)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        for padded, bare in zip(together.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(padded[row, :length], bare[0], atol=1e-5, rtol=1e-5)


def test_what_stands_in_the_padding_changes_nothing(member, scramble):
    model = build(member, Head(classes=3))
    scramble(model)
    ids, mask = batch(member, padding=3)
    other = torch.where(mask.bool(), ids, 5)
    assert not torch.equal(ids, other)
    assert torch.equal(model(ids, mask).logits, model(other, mask).logits)


def test_attention_maps_are_what_the_fused_kernel_computes_and_come_only_when_asked(member, scramble):
    model = build(member, Head(classes=3))
    scramble(model)
    ids, mask = batch(member, padding=2)
    fused = model(ids, mask, output_hidden_states=True)
    assert fused.attentions is None
    asked = model(ids, mask, output_attentions=True, output_hidden_states=True)
    for row, length in enumerate(LENGTHS):
        for with_maps, without in zip(asked.hidden_states, fused.hidden_states, strict=True):
            torch.testing.assert_close(with_maps[row, :length], without[row, :length], atol=1e-5, rtol=1e-5)
    for heads, map_BHLL in zip(member.heads_by_layer, asked.attentions, strict=True):
        assert (map_BHLL is None) == (heads == 0)
        if map_BHLL is not None:
            assert map_BHLL.shape == (len(ids), heads, ids.shape[1], ids.shape[1])
            torch.testing.assert_close(map_BHLL.sum(dim=-1), torch.ones(map_BHLL.shape[:-1]))
            assert not map_BHLL[1, :, :, LENGTHS[1] :].any()


def test_attention_maps_in_half_precision_hold_scores_that_the_fused_kernel_holds(architecture):
    shape = dataclasses.replace(architecture, head_size=16, layers=1)
    model = build(shape, Head(classes=3))
    attention = model.encoder.layers[0].attention
    with torch.no_grad():
        for projection in (attention.query, attention.key):
            projection.weight.zero_()
            projection.bias.fill_(80.0)  # scores of 16 * 80 * 80 = 102,400, a quarter of that when scaled
    logits = model.half()(*batch(shape), output_attentions=True).logits
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits, model(*batch(shape)).logits, atol=1e-3, rtol=1e-2)


def test_projections_are_each_heads_queries_keys_and_values_and_come_only_when_asked(member, scramble):
    model = build(member, Head(classes=3))
    scramble(model)
    ids, mask = batch(member)
    assert model(ids, mask).projections is None
    asked = model(ids, mask, output_projections=True, output_attentions=True, output_hidden_states=True)
    for layer, heads in enumerate(member.heads_by_layer):
        if not heads:
            assert asked.projections[layer] is None
            continue
        query, key, value = asked.projections[layer]
        assert query.shape == key.shape == value.shape == (len(ids), heads, ids.shape[1], member.head_size)
        scores = (query @ key.transpose(2, 3) / member.head_size**0.5)[0]
        torch.testing.assert_close(scores.softmax(dim=-1), asked.attentions[layer][0], atol=1e-6, rtol=1e-5)
        block = model.encoder.layers[layer]
        source = asked.hidden_states[layer] if not block.attention_reads_bottleneck else None
        if source is not None:
            torch.testing.assert_close(value.transpose(1, 2).flatten(2), block.attention.value(source))


def test_a_layer_without_heads_and_neurons_keeps_only_residuals_and_norms(architecture, scramble):
    bare = dataclasses.replace(architecture, layers=1, heads=0, ffn_size=0)
    model = build(bare, Head(classes=3))
    scramble(model)
    states = model(*batch(bare), output_hidden_states=True).hidden_states
    block = model.encoder.layers[0]
    torch.testing.assert_close(states[1], block.feed_forward[0].norm(block.attention.norm(states[0])))
    assert {name for name, _ in block.named_parameters()} == {
        f"{norm}.{kind}" for norm in ("attention.norm", "feed_forward.0.norm") for kind in ("weight", "bias")
    }


def test_every_weight_of_the_encoder_has_a_gradient(member):
    model = build(dataclasses.replace(member, pooler="none"), Head(classes=3))
    model(*batch(member), labels=torch.tensor([0, 2, 1])).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_mask_says_only_whether_there_is_a_token(member):
    model = build(member, Head(classes=3))
    ids, mask = batch(member)
    numbered = mask * torch.arange(1, mask.shape[1] + 1)
    torch.testing.assert_close(model(ids, numbered).logits, model(ids, mask).logits, atol=0, rtol=0)


def test_trigrams_see_one_token_to_each_side(architecture, scramble):
    shape = dataclasses.replace(architecture, trigram=True)
    model = build(shape, Head(classes=3))
    scramble(model)
    ids, _ = batch(shape)
    changed = ids.clone()
    changed[0, 4] = 5 if ids[0, 4] != 5 else 6
    before, after = (model.encoder.embeddings(each, None, None)[0] for each in (ids, changed))
    assert (before != after).any(dim=-1).nonzero().flatten().tolist() == [3, 4, 5]


@pytest.mark.parametrize("kind", list(HeadKind))
def test_every_head_learns_from_its_labels(architecture, kind):
    model = build(architecture, HEADS[kind], seed=1)
    ids, mask = batch(architecture)
    targets = {
        HeadKind.CLASSIFICATION: {"labels": torch.tensor([0, 2, 1])},
        HeadKind.REGRESSION: {"labels": torch.tensor([0.5, -1.0, 2.0])},
        HeadKind.TOKEN_CLASSIFICATION: {"labels": torch.where(mask.bool(), ids % 3, -100)},
        HeadKind.QUESTION_ANSWERING: {"start_positions": mask[:, 0], "end_positions": mask.sum(dim=1) - 1},
        HeadKind.MASKED_LM: {"labels": torch.where(mask.bool(), ids, -100)},
    }[kind]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = model(ids, mask, **targets).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.grad is not None for name, parameter in model.named_parameters())


def test_question_answering_scores_each_token_and_skips_answers_that_were_cut_off(architecture):
    model = build(architecture, HEADS[HeadKind.QUESTION_ANSWERING])
    ids, mask = batch(architecture)
    start, end = torch.tensor([1, 2, 99]), torch.tensor([3, 2, 99])
    output = model(ids, mask, start_positions=start, end_positions=end)
    assert output.start_logits.shape == output.end_logits.shape == ids.shape
    expected = [
        -logits.log_softmax(dim=1)[torch.arange(2), at[:2]].mean()
        for logits, at in ((output.start_logits[:2], start), (output.end_logits[:2], end))
    ]
    torch.testing.assert_close(output.loss, sum(expected) / 2)


def test_masked_lm_guesses_through_the_word_embeddings(architecture):
    for shape in (architecture, dataclasses.replace(architecture, embedding_size=10)):
        model = build(shape, HEADS[HeadKind.MASKED_LM])
        ids, mask = batch(shape)
        logits = model(ids, mask).logits
        assert logits.shape == (*ids.shape, shape.vocabulary_size)
        with torch.no_grad():
            model.encoder.embeddings.word.weight[7] = 0
            assert (model.vocabulary_logits(model.encoder(ids, mask).last_hidden_state)[..., 7] == 0).all()


@pytest.mark.parametrize("more", [4, -4])
def test_masked_lm_guesses_words_that_are_added_later(architecture, more):
    model = build(architecture, HEADS[HeadKind.MASKED_LM])
    size = architecture.vocabulary_size + more
    expected = model(torch.tensor([[7, 8]])).logits
    model.resize_token_embeddings(size)
    logits = model(torch.tensor([[7, 8]])).logits
    assert (logits.shape[-1], model.config.vocabulary_size) == (size, size)
    common = min(size, architecture.vocabulary_size)
    torch.testing.assert_close(logits[..., :common], expected[..., :common])


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
    torch.testing.assert_close(model(ids, empty, output_attentions=True).logits, logits, atol=1e-6, rtol=1e-5)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits[[0, 2]], expected[[0, 2]])


def test_hidden_states_come_only_when_asked_for_embeddings_first(architecture):
    model = build(architecture, Head(classes=3))
    ids, mask = batch(architecture)
    assert model(ids, mask).hidden_states is None
    asked = model(ids, mask, output_hidden_states=True).hidden_states
    assert len(asked) == architecture.layers + 1
    assert all(state.shape == (*ids.shape, architecture.hidden_size) for state in asked)
    torch.testing.assert_close(asked[0], model.encoder.embeddings(ids, mask, None))
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


@pytest.mark.parametrize(
    "setting", [{"activation": "swish"}, {"pooling": "max"}, {"norm": "rms"}, {"attention_input": "z"}]
)
def test_unknown_settings_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=next(iter(setting.values()))):
        StillhouseConfig(**setting)
