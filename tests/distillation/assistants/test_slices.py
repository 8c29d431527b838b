from dataclasses import replace

import pytest
import torch

from distillation.assistants.grid import candidate
from distillation.assistants.importance import gradient_importance
from distillation.assistants.slices import extract, skeleton_of, slices_of, supernet_of
from distillation.batches import Encoded
from distillation.schedule import GRID
from encoders.build import architecture_of, build, head_of
from encoders.importance import Importance
from encoders.initialisation import initialise_from_teacher
from encoders.values import Head, HeadKind
from search_space import Architecture

CPU = torch.device("cpu")
KINDS = {
    "plain": {},
    "bottleneck": {"bottleneck_size": 12, "attention_input": "shared", "ffn_stacks": 2},
    "mapped words": {"embedding_size": 8, "trigram": True, "norm": "no_norm"},
}
HEADS = {
    "classes": Head(classes=3),
    "answers": Head(kind=HeadKind.QUESTION_ANSWERING),
    "masked words": Head(kind=HeadKind.MASKED_LM),
}


def model_of(head, **changes):
    sizes = {"layers": 3, "hidden_size": 24, "heads": 3, "head_size": 8, "ffn_size": 20, "max_positions": 16}
    made = build(Architecture.from_dict({"vocabulary_size": 200, **sizes, **changes}), head, seed=2)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            draw = torch.Generator().manual_seed(sum(map(ord, name)))
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.1)
    return made


def importance_of(shape, hidden=False):
    draw = torch.Generator().manual_seed(3)
    return Importance(
        hidden=torch.rand(shape.hidden_size, generator=draw) if hidden else None,
        heads=tuple(torch.rand(size, generator=draw) for size in shape.heads_by_layer),
        neurons=tuple(torch.rand(shape.ffn_stacks, size, generator=draw) for size in shape.ffn_sizes_by_layer),
    )


@pytest.fixture
def batch(data):
    return Encoded(data.selection, data.tokenizer, max_length=12).batch(torch.arange(16).numpy())


def outputs(model, batch):
    with torch.no_grad():
        made = model(batch.input_ids, batch.attention_mask, output_hidden_states=True)
    return [each for each in (made.logits, made.start_logits, *made.hidden_states) if each is not None]


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_units_in_another_order_compute_the_same(change, head, batch):
    model = model_of(head, **change)
    shape = architecture_of(model.config)
    importance = importance_of(shape)
    reordered = supernet_of(model, shape, importance)
    assert not all(
        torch.equal(one, other) for one, other in zip(model.parameters(), reordered.parameters(), strict=True)
    )
    for before, after in zip(outputs(model, batch), outputs(reordered, batch), strict=True):
        assert torch.allclose(before, after, atol=1e-6, rtol=1e-5)


def test_hidden_units_in_another_order_compute_the_same(batch):
    model = model_of(HEADS["masked words"])
    shape = architecture_of(model.config)
    reordered = supernet_of(model, shape, importance_of(shape, hidden=True))
    before, after = outputs(model, batch)[0], outputs(reordered, batch)[0]
    assert torch.allclose(before, after, atol=1e-5, rtol=1e-5)


def test_the_first_units_are_the_most_important_ones(data):
    model = model_of(HEADS["classes"])
    texts = Encoded(data.selection, data.tokenizer, max_length=12)
    found = gradient_importance(model, texts, device=CPU)
    again = gradient_importance(supernet_of(model, architecture_of(model.config), found), texts, device=CPU)
    for before, after in zip((*found.heads, *found.neurons), (*again.heads, *again.neurons), strict=True):
        assert torch.allclose(before.flatten().sort(descending=True).values, after.flatten(), atol=1e-5)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_every_slice_is_bit_for_bit_the_dense_model_that_is_extracted(change, head, hidden, batch):
    model = model_of(head, **change)
    shape = architecture_of(model.config)
    importance = importance_of(shape, hidden=hidden)
    supernet = supernet_of(model, shape, importance)
    for sparsity in (*GRID, 0.99):
        small = candidate(shape, importance, sparsity)
        skeleton = skeleton_of(supernet, small)
        dense = extract(supernet, small)
        assert architecture_of(dense.config) == small
        arguments = (batch.input_ids, batch.attention_mask)
        with torch.no_grad():
            sliced = torch.func.functional_call(
                skeleton, slices_of(supernet, skeleton), arguments, {"output_hidden_states": True}
            )
        found = [each for each in (sliced.logits, sliced.start_logits, *sliced.hidden_states) if each is not None]
        for one, other in zip(found, outputs(dense, batch), strict=True):
            assert torch.equal(one, other)
        assert {weight.device for weight in dense.parameters()} == {CPU}
        assert all(weight.requires_grad for weight in dense.parameters())


def test_a_dense_extraction_is_what_initialisation_cuts_out(batch):
    """The other way to the same model: without gains, which only fewer hidden units or lost importance cause."""
    model = model_of(HEADS["classes"])
    shape = architecture_of(model.config)
    importance = Importance(
        heads=tuple(torch.tensor([1.0, 0.0, 2.0]) for _ in range(3)),
        neurons=tuple(torch.arange(20.0)[None].clamp(min=9.5) - 9.5 for _ in range(3)),
    )
    small = replace(shape, heads=2, ffn_size=10)
    cut = build(small, head_of(model.config))
    initialise_from_teacher(cut, model, importance=importance, descending=True)
    dense = extract(supernet_of(model, shape, importance), small)
    for one, other in zip(outputs(cut, batch), outputs(dense, batch), strict=True):
        assert torch.equal(one, other)


def test_an_extracted_model_has_weights_of_its_own():
    model = model_of(HEADS["classes"])
    shape = architecture_of(model.config)
    dense = extract(model, shape)
    with torch.no_grad():
        for weight in dense.parameters():
            weight.zero_()
    assert any(bool(weight.any()) for weight in model.parameters())
