"""Importance by gradients, against masks that are written out unit by unit."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from distillation.assistants.importance import gradient_importance, kept_importance
from distillation.batches import Encoded
from distillation.cache import Cache
from distillation.errors import Interrupted, TeacherError
from distillation.splits import Example, SelectionSplit
from encoders.build import build
from encoders.importance import blocks_of, stacks_of
from encoders.values import Head, HeadKind
from search_space import Architecture

CPU = torch.device("cpu")
STEP = 1e-6
SIZES = {
    "vocabulary_size": 200,
    "layers": 2,
    "hidden_size": 6,
    "heads": 2,
    "head_size": 3,
    "ffn_size": 4,
    "max_positions": 16,
}


@pytest.fixture
def texts(data):
    return Encoded(data.selection, data.tokenizer, max_length=12)


def tiny(**changes):
    model = build(Architecture.from_dict(SIZES | changes), Head(classes=3), seed=1).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(weight))) * 0.3)
    return model


@contextmanager
def scaled(modules, unit, size, factor, *, on_output=False):
    """Within, the unit's `size` inputs (or outputs) of these modules are multiplied."""

    def change(values):
        changed = values.clone()
        changed[..., unit * size : (unit + 1) * size] *= factor
        return changed

    def hook(module):
        if on_output:
            return module.register_forward_hook(lambda _, __, output: change(output))
        return module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]),))

    handles = [hook(module) for module in modules]
    yield
    for handle in handles:
        handle.remove()


def literal(model, texts, modules, unit, size=1, *, on_output=False):
    """sum over batches of |loss(mask = 1 + e) - loss(mask = 1 - e)| / 2 e, one unit at a time."""
    total = 0.0
    for _, batch in texts.by_length(16):
        ends = []
        for factor in (1 + STEP, 1 - STEP):
            with scaled(modules, unit, size, factor, on_output=on_output), torch.no_grad():
                ends.append(float(model(batch.input_ids, batch.attention_mask, labels=batch.labels).loss))
        total += abs(ends[0] - ends[1]) / (2 * STEP)
    return total


def unit_length(values):
    length = math.sqrt(sum(value**2 for value in values))
    return [value / length for value in values]


@pytest.mark.parametrize("stacks", [1, 2])
def test_importance_is_that_of_masks_moved_one_by_one(texts, stacks):
    model = tiny(ffn_stacks=stacks)
    found = gradient_importance(model, texts, device=CPU, hidden=True, batch_size=16)
    for layer, block in enumerate(blocks_of(model)):
        heads = [literal(model, texts, [block.attention.output], head, 3) for head in range(2)]
        assert found.heads[layer].tolist() == pytest.approx(unit_length(heads), abs=1e-6)
        neurons = [literal(model, texts, [each.down], unit) for each in stacks_of(block) for unit in range(4)]
        assert found.neurons[layer].flatten().tolist() == pytest.approx(unit_length(neurons), abs=1e-6)
    written = [model.encoder.embeddings.norm]
    for block in blocks_of(model):
        written += [block.attention.norm, *(each.norm for each in stacks_of(block))]
    hidden = [literal(model, texts, written, unit, on_output=True) for unit in range(6)]
    assert found.hidden.tolist() == pytest.approx(unit_length(hidden), abs=1e-6)


def test_every_layer_counts_alike_and_the_model_is_left_as_it_was(texts):
    model = tiny()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = gradient_importance(model, texts, device=CPU)
    for layer in (*found.heads, *found.neurons):
        assert float(layer.norm()) == pytest.approx(1.0)
        assert bool((layer >= 0).all())
    assert found.hidden is None
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    batch = texts.batch(np.array([0]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model(batch.input_ids, batch.attention_mask).logits.isfinite().all()


def test_a_layer_without_units_has_none_and_the_others_their_own(texts):
    found = gradient_importance(tiny(heads=(0, 2), ffn_size=(4, 0)), texts, device=CPU)
    assert [len(layer) for layer in found.heads] == [0, 2]
    assert [layer.numel() for layer in found.neurons] == [4, 0]


def test_masked_words_need_no_labels(data):
    shape = Architecture.from_dict(SIZES | {"vocabulary_size": len(data.tokenizer)})
    model = build(shape, Head(kind=HeadKind.MASKED_LM), seed=1)
    texts = Encoded(data.selection, data.tokenizer, max_length=12, kind=HeadKind.MASKED_LM)
    found = gradient_importance(model, texts, device=CPU, hidden=True)
    assert float(found.hidden.norm()) == pytest.approx(1.0)


def test_without_labels_there_is_no_importance(data):
    bare = SelectionSplit(tuple(Example(example.texts, None) for example in data.selection.examples))
    with pytest.raises(TeacherError, match="no importance without labels"):
        gradient_importance(tiny(), Encoded(bare, data.tokenizer, max_length=12), device=CPU)


def test_it_stops_where_somebody_asks(texts, recorder):
    with pytest.raises(Interrupted, match="stopped while the importance of units was computed"):
        gradient_importance(tiny(), texts, device=CPU, observer=recorder(stop_after=0))


def assert_equal(one, other):
    for name in ("heads", "neurons"):
        for mine, theirs in zip(getattr(one, name), getattr(other, name), strict=True):
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs)
    assert (one.hidden is None) == (other.hidden is None)
    if one.hidden is not None:
        assert one.hidden.dtype == other.hidden.dtype
        assert torch.equal(one.hidden, other.hidden)


def test_no_more_rows_are_read_than_asked_for(data, texts):
    model = tiny()
    rows = sorted(index for indices, _ in texts.by_length(2, 5) for index in indices)
    part = SelectionSplit(tuple(texts.examples[row] for row in rows))
    found = gradient_importance(model, texts, device=CPU, hidden=True, most=5)
    assert_equal(
        found, gradient_importance(model, Encoded(part, data.tokenizer, max_length=12), device=CPU, hidden=True)
    )
    whole = gradient_importance(model, texts, device=CPU, hidden=True)
    assert not torch.equal(found.hidden, whole.hidden)
    assert_equal(gradient_importance(model, texts, device=CPU, hidden=True, most=len(texts)), whole)


@pytest.mark.parametrize("hidden", [True, False])
def test_what_is_kept_has_the_bits_of_what_is_computed(texts, tmp_path, recorder, hidden):
    cache = Cache(folder=tmp_path, budget_bytes=10**6)
    for model in (tiny(ffn_stacks=2), tiny(heads=(0, 2), ffn_size=(4, 0)).float()):
        live = gradient_importance(model, texts, device=CPU, hidden=hidden)
        watching = recorder()
        for kept in (None, cache, cache):
            found = kept_importance(
                model, texts, content="data", cache=kept, device=CPU, hidden=hidden, observer=watching
            )
            assert_equal(found, live)
        assert watching.stages == ["importance of the teacher's units"] * 2


def test_importance_is_kept_for_each_thing_that_it_depends_on(data, texts, tmp_path, recorder):
    cache, model, watching = Cache(folder=tmp_path, budget_bytes=10**6), tiny(), recorder()
    other, relu = tiny(), tiny(activation="relu")
    with torch.no_grad():
        other.classifier.bias[0] += 1e-9
    given = {"model": model, "texts": texts, "content": "data", "hidden": True, "most": None}
    changes = [
        {},
        {"model": other},
        {"model": relu},
        {"texts": Encoded(data.selection, data.tokenizer, max_length=5)},
        {"content": "other labels"},
        {"hidden": False},
        {"most": 8},
    ]
    for _ in range(2):
        for change in changes:
            kept_importance(**given | change, cache=cache, device=CPU, observer=watching)
    assert len(watching.stages) == len(changes)
    torch.set_num_threads(2)  # which add up in another order
    try:
        kept_importance(**given, cache=cache, device=CPU, observer=watching)
    finally:
        torch.set_num_threads(1)
    assert len(watching.stages) == len(changes) + 1
