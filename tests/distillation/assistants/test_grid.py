from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from distillation.assistants.grid import candidate, hull, is_slice, share_of
from distillation.schedule import GRID, Ranking
from encoders.errors import InitialisationError
from encoders.importance import Importance
from search_space import KNOWN, Architecture, block_cost

BERT = KNOWN["bert-base"]
SMALL = Architecture(vocabulary_size=50, layers=3, hidden_size=24, heads=4, head_size=6, ffn_size=10, max_positions=16)


def random_importance(shape, seed=0, hidden=False):
    draw = torch.Generator().manual_seed(seed)
    return Importance(
        hidden=torch.rand(shape.hidden_size, generator=draw) if hidden else None,
        heads=tuple(torch.rand(size, generator=draw) for size in shape.heads_by_layer),
        neurons=tuple(torch.rand(shape.ffn_stacks, size, generator=draw) for size in shape.ffn_sizes_by_layer),
    )


def biases_of_emptied_layers(shape):
    """What the published counts include: a layer that has lost all heads, or all neurons, has no output bias here."""
    return shape.hidden_size * (shape.heads_by_layer.count(0) + shape.ffn_sizes_by_layer.count(0))


@pytest.mark.parametrize(
    ("sparsity", "millions", "ranking"),
    [
        (0.9, 8.48, Ranking.GLOBAL),
        (0.95, 4.27, Ranking.GLOBAL),
        (0.85, 12.88, Ranking.GLOBAL),
        (0.5, 42.55, Ranking.GLOBAL),
        (0.5, 42.55, Ranking.LAYER),
    ],
)
def test_bert_base_has_the_published_sizes(sparsity, millions, ranking):
    found = candidate(BERT, random_importance(BERT), sparsity, ranking=ranking)
    assert sum(found.heads_by_layer) == round(144 * (1 - sparsity))
    assert sum(found.ffn_sizes_by_layer) == round(36_864 * (1 - sparsity))
    count = block_cost(found).parameters + biases_of_emptied_layers(found)
    assert round(count / 1e6, 2) == millions
    assert replace(found, heads=12, ffn_size=3072) == BERT


def test_the_least_important_units_of_all_layers_are_dropped():
    shape = replace(SMALL, layers=2, heads=2, ffn_size=3)
    importance = Importance(
        heads=(torch.tensor([0.9, 0.8]), torch.tensor([0.1, 0.95])),
        neurons=(torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.9, 0.05, 0.8]])),
    )
    half = candidate(shape, importance, 0.5)
    assert (half.heads_by_layer, half.ffn_sizes_by_layer) == ((1, 1), (1, 2))
    most = candidate(shape, importance, 0.7)
    assert (most.heads_by_layer, most.ffn_sizes_by_layer) == ((0, 1), (0, 2))
    by_layer = candidate(shape, importance, 0.5, ranking=Ranking.LAYER)
    assert (by_layer.heads_by_layer, by_layer.ffn_sizes_by_layer) == ((1, 1), (2, 2))


def test_stacked_neurons_count_together():
    shape = replace(SMALL, layers=2, ffn_stacks=2, ffn_size=2)
    importance = Importance(neurons=(torch.tensor([[0.1, 0.5], [0.9, 0.2]]), torch.tensor([[0.3, 0.4], [0.5, 0.4]])))
    assert candidate(shape, importance, 0.75).ffn_sizes_by_layer == (1, 0)
    assert candidate(shape, importance, 0.5).ffn_sizes_by_layer == (1, 1)


@pytest.mark.parametrize("hidden", [False, True])
def test_every_candidate_is_a_slice_of_the_larger_ones(hidden):
    shapes = [candidate(SMALL, random_importance(SMALL, hidden=hidden), sparsity) for sparsity in GRID]
    assert shapes[0] == SMALL
    shares = [share_of(shape, SMALL) for shape in shapes]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    for large, small in pairwise(shapes):
        assert is_slice(small, large, hidden=hidden)
        assert hull([small, large]) == large == hull([large, small])


def test_hidden_units_and_the_others_share_what_is_dropped():
    shape = replace(BERT, layers=2)
    found = candidate(shape, random_importance(shape, hidden=True), 0.75)
    assert (found.hidden_size, sum(found.heads_by_layer), sum(found.ffn_sizes_by_layer)) == (384, 12, 3072)
    assert share_of(found, shape) == pytest.approx(0.25, abs=0.002)


def test_a_hidden_width_is_never_that_of_mapped_words():
    shape = replace(SMALL, hidden_size=32, embedding_size=16)
    assert candidate(shape, random_importance(shape, hidden=True), 0.75).hidden_size == 8


def test_layers_keep_the_heads_that_are_asked_for():
    importance = Importance(heads=(torch.full((4,), 0.9), torch.full((4,), 0.5), torch.full((4,), 0.1)))
    assert candidate(SMALL, importance, 0.5).heads_by_layer == (4, 2, 0)
    assert candidate(SMALL, importance, 0.5, least_heads=1).heads_by_layer == (4, 1, 1)
    assert candidate(SMALL, importance, 0.95, least_heads=1).heads_by_layer == (1, 1, 1)
    assert candidate(SMALL, importance, 0.95, least_heads=1, ranking=Ranking.LAYER).heads_by_layer == (1, 1, 1)


def test_a_model_may_lose_all_heads_and_is_still_a_slice():
    bare = replace(SMALL, heads=0)
    assert bare.head_size == 1
    assert is_slice(bare, SMALL)
    assert hull([bare, replace(SMALL, heads=(0, 1, 0))]) == replace(SMALL, heads=(0, 1, 0))
    assert candidate(SMALL, random_importance(SMALL), 0.99) == replace(SMALL, heads=0, ffn_size=0)


@pytest.mark.parametrize(
    "change",
    [
        {"heads": 5},
        {"ffn_size": (10, 10, 11)},
        {"layers": 2},
        {"head_size": 5},
        {"hidden_size": 16},
        {"heads": (1, 5, 1)},
    ],
)
def test_what_differs_in_anything_else_is_no_slice(change):
    assert not is_slice(replace(SMALL, **change), SMALL)
    assert is_slice(replace(SMALL, hidden_size=16), SMALL, hidden=True)


def test_importance_of_another_model_is_refused():
    with pytest.raises(InitialisationError, match="the importance of heads has"):
        candidate(SMALL, random_importance(replace(SMALL, heads=2)), 0.5)
