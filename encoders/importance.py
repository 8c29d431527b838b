"""How much the function of a model rests on each of its units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never, cast

import torch
from torch import Tensor, nn

from encoders.build import architecture_of
from encoders.errors import InitialisationError
from encoders.modeling_stillhouse import (
    Attention,
    Block,
    FeedForward,
    StillhouseForMaskedLM,
    StillhouseForQuestionAnswering,
    StillhouseForSequenceClassification,
    StillhouseForTokenClassification,
    StillhouseTaskModel,
)
from search_space import Architecture, AttentionInput

Classifying = StillhouseForSequenceClassification | StillhouseForTokenClassification | StillhouseForQuestionAnswering


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """How much the function of a model of N layers rests on each of its units; 0 is not at all.

    Without one of them its units all count alike: the leading ones are kept.

    Args:
        hidden: (D,).
        heads: of each layer (H,).
        neurons: of each layer (F,), or of each of its stacked feed-forwards (ffn_stacks, F).
    """

    hidden: Tensor | None = None
    heads: tuple[Tensor, ...] | None = None
    neurons: tuple[Tensor, ...] | None = None


def norm_importance(model: StillhouseTaskModel) -> Importance:
    """Importance from the weights alone, in Frobenius norms:

    head h     |W_o[:, h] (W_v, b_v)[h]|
    neuron f   |(W_1, b_1)[f]| |W_2[:, f]|
    hidden d   the root of the sum of |W[:, d]|^2 (w_d^2 + b_d^2) over all maps W that read hidden states, each
               after a norm of weight w and bias b: what d adds to their outputs, were n in w n + b of variance 1

    A head or a neuron of 0 writes nothing.
    """
    heads, neurons = [], []
    with torch.no_grad():
        for block in blocks_of(model):
            heads.append(_head_norms(block.attention))
            neurons.append(torch.stack([_neuron_norms(layer) for layer in stacks_of(block)]))
        squares = torch.stack([_read_squares(norm, linear) for norm, linear in _readers(model)])
    return Importance(hidden=squares.sum(dim=0).sqrt(), heads=tuple(heads), neurons=tuple(neurons))


def check_importance(importance: Importance, shape: Architecture) -> None:
    """Raises: InitialisationError: not as many values as a model of this shape has units, or values below 0."""
    expected: dict[str, tuple[Sequence[Tensor] | None, list[int]]] = {
        "hidden": (None if importance.hidden is None else [importance.hidden], [shape.hidden_size]),
        "heads": (importance.heads, list(shape.heads_by_layer)),
        "neurons": (importance.neurons, [shape.ffn_stacks * size for size in shape.ffn_sizes_by_layer]),
    }
    for name, (given, sizes) in expected.items():
        if given is None:
            continue
        if [values.numel() for values in given] != sizes:
            raise InitialisationError(
                f"the importance of {name} has {[values.numel() for values in given]} values, the teacher {sizes} units"
            )
        if not all(bool((values.isfinite() & (values >= 0)).all()) for values in given):
            raise InitialisationError(f"the importance of {name} has values that are negative or not finite")


def reads_of(shape: Architecture) -> dict[str, str]:
    """What queries, keys and values are computed from."""
    match shape.attention_input:
        case AttentionInput.INPUT:
            return {"query": "hidden", "key": "hidden", "value": "hidden"}
        case AttentionInput.SHARED:
            return {"query": "shared", "key": "shared", "value": "hidden"}
        case AttentionInput.BOTTLENECK:
            return {"query": "bottleneck", "key": "bottleneck", "value": "bottleneck"}
        case _:
            assert_never(shape.attention_input)


def blocks_of(model: StillhouseTaskModel) -> list[Block]:
    return cast("list[Block]", list(model.encoder.layers))


def stacks_of(block: Block) -> list[FeedForward]:
    return cast("list[FeedForward]", list(block.feed_forward))


def _head_norms(attention: Attention) -> Tensor:
    if not attention.heads:
        return torch.zeros(0)
    value = _with_bias(attention.value).view(attention.heads, attention.head_size, -1)  # (H, K, D + 1)
    output = attention.output.weight.view(-1, attention.heads, attention.head_size).transpose(0, 1)  # (H, D, K)
    # |A B|^2 is the trace of (A'A)(BB'), which are K x K.
    squares: Tensor = ((output.mT @ output) * (value @ value.mT)).sum(dim=(1, 2))
    return squares.clamp(min=0).sqrt()


def _neuron_norms(layer: FeedForward) -> Tensor:
    if not layer.has_neurons:
        return torch.zeros(0)
    norm = torch.linalg.vector_norm
    norms: Tensor = norm(_with_bias(layer.up), dim=1) * norm(layer.down.weight, dim=0)
    return norms


def _with_bias(linear: nn.Linear) -> Tensor:
    return torch.cat((linear.weight, linear.bias[:, None]), dim=1)


def _readers(model: StillhouseTaskModel) -> Iterable[tuple[nn.Module, nn.Linear]]:
    """The linear maps that read hidden states, each with the norm before it."""
    before: nn.Module = model.encoder.embeddings.norm
    for block in blocks_of(model):
        attention, reads = block.attention, reads_of(architecture_of(model.config))
        for each in (block.bottleneck, block.shared):
            if each is not None:
                yield before, each.linear
        for name, what in reads.items():
            if attention.heads and what == "hidden":
                yield before, getattr(attention, name)
        if block.expansion is not None:
            before = block.expansion.norm
            continue
        before = attention.norm
        for layer in stacks_of(block):
            if layer.has_neurons:
                yield before, layer.up
            before = layer.norm
    if model.encoder.pooler is not None:
        yield before, model.encoder.pooler
    if isinstance(model, Classifying):
        yield before, model.classifier
    elif isinstance(model, StillhouseForMaskedLM):
        yield before, model.transform


def _read_squares(norm: nn.Module, linear: nn.Linear) -> Tensor:
    weight, bias = (dict(norm.named_parameters())[name] for name in ("weight", "bias"))
    return linear.weight.square().sum(dim=0) * (weight.square() + bias.square())
