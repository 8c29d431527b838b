import numpy as np
import pytest

from search_space import Architecture, Choice, SearchSpace, parameter_columns, parameter_count


def bert_like(hidden_size: int, layers: int, heads: int, ffn_size: int, token_types: int = 2) -> Architecture:
    return Architecture(
        vocabulary_size=30_522,
        layers=layers,
        hidden_size=hidden_size,
        heads=heads,
        head_size=hidden_size // heads,
        ffn_size=ffn_size,
        token_types=token_types,
    )


def tensors(shape: Architecture) -> list[tuple[int, ...]]:
    """Every weight of the encoder, tensor by tensor."""
    h, a, f = shape.hidden_size, shape.heads * shape.head_size, shape.ffn_size
    norm = [(h,), (h,)]
    embeddings = [(shape.vocabulary_size, h), (shape.max_positions, h), (shape.token_types, h), *norm]
    block = [*[(a, h), (a,)] * 3, (h, a), (h,), *norm, (f, h), (f,), (h, f), (h,), *norm]
    return embeddings + block * shape.layers


@pytest.mark.parametrize(
    ("name", "architecture", "with_pooler", "without_pooler"),
    [
        ("BERT-base", bert_like(768, 12, 12, 3072), 109_482_240, 108_891_648),
        ("DistilBERT", bert_like(768, 6, 12, 3072, token_types=0), None, 66_362_880),
        ("TinyBERT4", bert_like(312, 4, 12, 1200), 14_350_248, 14_252_592),
        ("TinyBERT6", bert_like(768, 6, 12, 3072), 66_955_008, 66_364_416),
        ("MiniLM 6x384", bert_like(384, 6, 12, 1536), 22_713_216, 22_565_376),
        ("MiniLM 12x384", bert_like(384, 12, 12, 1536), 33_360_000, 33_212_160),
    ],
)
def test_published_models_have_their_published_size(name, architecture, with_pooler, without_pooler):
    assert parameter_count(architecture) == without_pooler, name
    if with_pooler is not None:
        h = architecture.hidden_size
        assert parameter_count(architecture) + h * h + h == with_pooler, name


def test_count_is_the_sum_of_the_tensors_when_heads_are_wider_than_hidden_size():
    shape = Architecture(
        vocabulary_size=101, layers=3, hidden_size=20, heads=3, head_size=16, ffn_size=7, max_positions=9, token_types=1
    )
    assert parameter_count(shape) == sum(int(np.prod(tensor)) for tensor in tensors(shape))


def test_columns_count_what_each_row_counts():
    space = SearchSpace(
        dimensions={
            "layers": Choice(values=(1, 3)),
            "hidden_size": Choice(values=(8, 12)),
            "heads": Choice(values=(1, 2, 3)),
            "ffn_size": Choice(values=(16, 20)),
        },
        vocabulary_size=50,
    )
    counts = parameter_columns(space.columns)
    assert counts.tolist() == [parameter_count(space.architecture(row)) for row in range(space.size)]
