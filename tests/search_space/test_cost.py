from dataclasses import replace

import pytest

from search_space import (
    KNOWN,
    Architecture,
    SearchSpaceError,
    block_cost,
    cost,
    parameter_columns,
    parameter_count,
    preset,
)

TINY = Architecture(
    vocabulary_size=101, layers=2, hidden_size=20, heads=3, head_size=16, ffn_size=7, max_positions=9, token_types=1
)


def tensors(shape: Architecture) -> list[int]:
    """Every weight of an encoder without bottleneck or options, tensor by tensor."""
    h = shape.hidden_size
    sizes = [shape.vocabulary_size * h, shape.max_positions * h, shape.token_types * h, h, h]
    for heads, f in zip(shape.heads_by_layer, shape.ffn_sizes_by_layer, strict=True):
        a = heads * shape.head_size
        sizes += [*[a * h, a] * 3, a * h, h if heads else 0, h, h, f * h, f, h * f, h if f else 0, h, h]
    return sizes


@pytest.mark.parametrize("change", [{}, {"heads": (3, 0)}, {"ffn_size": (0, 7)}, {"heads": (2, 1), "ffn_size": (5, 9)}])
def test_count_is_the_sum_of_the_tensors(change):
    shape = replace(TINY, **change)
    assert parameter_count(shape) == sum(tensors(shape))


def test_cost_of_layers_of_their_own_sizes_adds_up():
    """Two layers of one size each are half of two models with two layers of that size."""
    narrow, wide = replace(TINY, heads=1, ffn_size=4), replace(TINY, heads=5, ffn_size=0)
    mixed = cost(replace(TINY, heads=(1, 5), ffn_size=(4, 0)))
    for name in ("parameters", "macs", "flops", "weight_bytes", "activation_bytes"):
        assert 2 * getattr(mixed, name) == getattr(cost(narrow), name) + getattr(cost(wide), name), name


def test_macs_of_bert_base_are_those_of_its_matrices():
    tokens, h, f = 128, 768, 3072
    expected = 12 * (tokens * (4 * h * h + 2 * h * f) + 2 * tokens * tokens * h) + h * h
    assert cost(KNOWN["bert-base"], length=128).macs == expected


def test_bytes_follow_the_dtype_and_the_batch():
    single, double = cost(TINY, dtype="int8"), cost(TINY, dtype="bfloat16", batch=3)
    assert double.weight_bytes == 2 * single.weight_bytes == 2 * single.parameters
    assert double.activation_bytes == 6 * single.activation_bytes
    assert double.flops == 3 * single.flops == 6 * single.macs


@pytest.mark.parametrize("name", ["bert", "autodistill", "minilm"])
def test_columns_count_what_each_row_counts(name):
    space = preset(name)
    rows = range(0, space.size, 1 + space.size // 50)
    counts = parameter_columns(space.columns)
    assert [counts[row] for row in rows] == [parameter_count(space.architecture(row)) for row in rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"dtype": "float8"}, "unknown dtype 'float8'; known are float32"), ({"length": 0}, "length must be at least 1")],
)
def test_what_cannot_be_counted_is_refused(settings, message):
    with pytest.raises(SearchSpaceError, match=message):
        cost(TINY, **settings)


def test_blocks_of_bert_base_are_all_but_its_embeddings_and_its_pooler():
    blocks = block_cost(KNOWN["bert-base"])
    assert blocks.parameters == 12 * 7_087_872
    h, v = 768, 30_522
    assert blocks.parameters == parameter_count(KNOWN["bert-base"]) - ((v + 512 + 2 + 2) * h + h * h + h)
    assert blocks.macs == cost(KNOWN["bert-base"]).macs - h * h
