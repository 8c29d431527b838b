"""Slices of one model: which units a candidate of so much sparsity keeps, and what is a slice of what.

Candidates keep prefixes: their model's units are sorted by importance within each layer. A neuron of a layer with
stacked feed-forwards stands for the neurons of its rank in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distillation.schedule import Ranking
from encoders.importance import Importance, check_importance
from search_space import Architecture, block_cost

WIDTH_STEP = 8
"""Hidden widths of candidates are multiples of this, where their model's is."""


def candidate(
    shape: Architecture,
    importance: Importance,
    sparsity: float,
    *,
    ranking: Ranking = Ranking.GLOBAL,
    least_heads: int = 0,
) -> Architecture:
    """The slice of a model of this shape that lacks `sparsity`, in [0, 1), of its heads and of its neurons.

    Of the units of all layers (or of each) the least important ones are dropped, of equals those of the highest rank.
    Where the importance has hidden units they shrink as well, and then each axis keeps the root of the share: so the
    blocks keep about `1 - sparsity` of their weights either way.

    Args:
        least_heads: that every layer keeps, where it has any.

    Raises:
        InitialisationError: the importance is not of a model of this shape.
    """
    check_importance(importance, shape)
    kept = 1 - sparsity if importance.hidden is None else (1 - sparsity) ** 0.5
    heads = _kept(_scores(importance.heads, shape.heads_by_layer, 1), kept, ranking, least_heads)
    neurons = _kept(_scores(importance.neurons, shape.ffn_sizes_by_layer, shape.ffn_stacks), kept, ranking, 0)
    hidden = shape.hidden_size if importance.hidden is None else _width(shape, kept)
    return replace(shape, heads=heads, ffn_size=neurons, hidden_size=hidden)


def share_of(slice_: Architecture, whole: Architecture) -> float:
    """s: the share of the whole's encoder parameters, those of its blocks, that a slice keeps."""
    return block_cost(slice_).parameters / block_cost(whole).parameters


def is_slice(small: Architecture, large: Architecture, *, hidden: bool = False) -> bool:
    """Whether the one is the other but for fewer heads and neurons, and perhaps `hidden` units."""
    # Without any heads an architecture has no head size, and nothing that heads read.
    names = ["heads", "ffn_size", *(["head_size", "attention_input"] if small.heads == 0 else [])]
    names += ["hidden_size"] if hidden else []
    if replace(small, **{name: getattr(large, name) for name in names}) != large:
        return False
    pairs = (
        (small.heads_by_layer, large.heads_by_layer),
        (small.ffn_sizes_by_layer, large.ffn_sizes_by_layer),
        ((small.hidden_size,), (large.hidden_size,)),
    )
    return all(one <= other for mine, theirs in pairs for one, other in zip(mine, theirs, strict=True))


def hull(shapes: Iterable[Architecture]) -> Architecture:
    """The smallest shape of which all of these slices of one model are slices."""
    first, *others = shapes
    for other in others:
        first = replace(
            first if any(first.heads_by_layer) else other,
            heads=_largest(first.heads_by_layer, other.heads_by_layer),
            ffn_size=_largest(first.ffn_sizes_by_layer, other.ffn_sizes_by_layer),
            hidden_size=max(first.hidden_size, other.hidden_size),
        )
    return first


def _largest(mine: Sequence[int], theirs: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(max, mine, theirs))


def _scores(importance: tuple[Tensor, ...] | None, sizes: Sequence[int], stacks: int) -> list[list[float]]:
    """Of each layer's ranks, from the most important one."""
    if importance is None:
        return [[1.0] * size for size in sizes]
    ranked = [layer.reshape(stacks, -1).double().sort(dim=1, descending=True).values for layer in importance]
    return [torch.sum(layer, dim=0).tolist() for layer in ranked]


def _kept(scores: Sequence[Sequence[float]], share: float, ranking: Ranking, least: int) -> tuple[int, ...]:
    """How many units each layer keeps."""
    if ranking is Ranking.LAYER:
        return tuple(max(min(least, len(layer)), round(len(layer) * share)) for layer in scores)
    units = [(-score, rank, layer) for layer, found in enumerate(scores) for rank, score in enumerate(found)]
    count = round(len(units) * share)
    # What every layer keeps comes first.
    units.sort(key=lambda unit: (unit[1] >= least, unit))
    count = max(count, sum(unit[1] < least for unit in units))
    layers = [layer for _, _, layer in units[:count]]
    return tuple(layers.count(layer) for layer in range(len(scores)))


def _width(shape: Architecture, share: float) -> int:
    step = WIDTH_STEP if shape.hidden_size % WIDTH_STEP == 0 else 1
    width = max(step, step * round(shape.hidden_size * share / step))
    # A width that happens to be that of the words' own would have no map from these, and be no slice.
    return (width - step or width + step) if width == shape.embedding_size else width
