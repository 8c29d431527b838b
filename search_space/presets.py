"""Search spaces with a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from search_space.architecture import Activation, AttentionInput, Norm
from search_space.dimension import Category, Choice, IntegerRange
from search_space.errors import SearchSpaceError, unknown
from search_space.space import SearchSpace


def _bert() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=12),
            "hidden_size": Choice(values=(64, 96, 128, 192, 256, 312, 384, 512, 768)),
            "heads": Choice(values=(1, 2, 3, 4, 6, 8, 12)),
            "ffn_size": Choice(values=(128, 256, 384, 512, 768, 1024, 1200, 1536, 2048, 3072)),
        }
    )


def _autodistill(*, low: int = 24, attention_input: AttentionInput = AttentionInput.INPUT) -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=low, high=24),
            "hidden_size": Choice(values=(128, 256, 384, 512)),
            "heads": Choice(values=(1, 2, 4, 8)),
            "ffn_size": Choice(values=(384, 512, 640)),
            "ffn_stacks": Choice(values=(2, 4, 6)),
            "bottleneck_size": Choice(values=(64, 96, 128, 160)),
            "attention_input": Category(values=(attention_input,)),
            "embedding_size": Choice(values=(128,)),
            "trigram": Category(values=(True,)),
            "norm": Category(values=(Norm.NO_NORM,)),
            "activation": Category(values=(Activation.RELU,)),
        }
    )


def _minilm() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=3, high=12),
            "hidden_size": Choice(values=(192, 288, 384, 576, 768)),
            "heads": Choice(values=(3, 6, 9, 12, 18)),
            "ffn_size": Choice(values=(768, 1152, 1536, 2304, 3072)),
        },
        constraints=("ffn_size == 4 * hidden_size", "head_size == 32 or head_size == 64"),
    )


def _tinybert() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=2, high=8),
            "hidden_size": Choice(values=(204, 264, 312, 384, 456, 528, 612, 768)),
            "heads": Choice(values=(12,)),
            "ffn_size": Choice(values=(600, 768, 1024, 1200, 1536, 1824, 2048, 2400, 3072)),
        },
        constraints=("2.5 * hidden_size <= ffn_size <= 4 * hidden_size",),
    )


PRESETS: Mapping[str, Callable[[], SearchSpace]] = {
    "bert": _bert,
    "autodistill": _autodistill,
    "autodistill-shared": lambda: _autodistill(attention_input=AttentionInput.SHARED),
    "autodistill-deep": lambda: _autodistill(low=1),
    "minilm": _minilm,
    "tinybert": _tinybert,
}
"""What makes each.

`bert`: plain BERT shapes, head size = hidden_size / heads.
`autodistill`: 576 shapes around MobileBERT, 24 blocks deep, queries, keys and values from the block's input.
`autodistill-shared`: the same with MobileBERT's shared key/query bottleneck, which Hugging Face's MobileBERT can run.
`autodistill-deep`: `autodistill` with 1 to 24 blocks.
`minilm`: plain BERT shapes in MiniLM's ratios: FFN four times as wide as hidden, heads of 32 or 64.
`tinybert`: plain BERT shapes in about TinyBERT's: 12 heads, shallow, FFN 2.5 to 4 times as wide as hidden.

References: arXiv:2201.08539 (AutoDistill), 2002.10957 (MiniLM), 1909.10351 (TinyBERT).
"""


@cache
def preset(name: str) -> SearchSpace:
    """The search space of this name.

    Raises:
        SearchSpaceError: unknown name; the message suggests the nearest.
    """
    if name not in PRESETS:
        raise SearchSpaceError(unknown("search space", name, PRESETS))
    return PRESETS[name]()
