"""Architectures with a name."""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import Activation, Architecture, AttentionInput, Norm, Pooler


def _bert(
    layers: int, hidden_size: int, ffn_size: int, pooler: Pooler = Pooler.TANH, token_types: int = 2
) -> Architecture:
    return Architecture(
        vocabulary_size=30_522,
        layers=layers,
        hidden_size=hidden_size,
        heads=12,
        head_size=hidden_size // 12,
        ffn_size=ffn_size,
        pooler=pooler,
        token_types=token_types,
    )


KNOWN: Mapping[str, Architecture] = {
    "bert-base": _bert(12, 768, 3072),
    "distilbert": _bert(6, 768, 3072, Pooler.NONE, token_types=0),
    "tinybert-4": _bert(4, 312, 1200),
    "tinybert-6": _bert(6, 768, 3072),
    "minilm-6x384": _bert(6, 384, 1536),
    "minilm-12x384": _bert(12, 384, 1536),
    "mobilebert": Architecture(
        vocabulary_size=30_522,
        layers=24,
        hidden_size=512,
        heads=4,
        head_size=32,
        ffn_size=512,
        ffn_stacks=4,
        bottleneck_size=128,
        attention_input=AttentionInput.SHARED,
        embedding_size=128,
        trigram=True,
        norm=Norm.NO_NORM,
        activation=Activation.RELU,
    ),
    "ib-bert-large": Architecture(
        vocabulary_size=30_522,
        layers=24,
        hidden_size=512,
        heads=4,
        head_size=256,
        ffn_size=4096,
        bottleneck_size=1024,
        embedding_size=128,
        trigram=True,
    ),
}
"""Encoders as they were published, with BERT's uncased vocabulary of 30,522.

`mobilebert` is as Hugging Face has it by default: the key/query bottleneck shared. `ib-bert-large`, MobileBERT's
teacher, was never released; its queries, keys and values are computed from the block's input.

References: arXiv:1810.04805 (BERT), 1910.01108 (DistilBERT), 1909.10351 (TinyBERT), 2002.10957 (MiniLM), 2004.02984
(MobileBERT, IB-BERT).
"""
