"""BERT's checkpoints, and those of models that share its layout, in the names of this family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import BertConfig

from encoders.errors import CheckpointError, UnsupportedModelError
from search_space import Activation, Architecture

NAMES = (
    (r"embeddings\.word_embeddings\.", "embeddings.word."),
    (r"embeddings\.position_embeddings\.", "embeddings.position."),
    (r"embeddings\.token_type_embeddings\.", "embeddings.token_type."),
    (r"embeddings\.LayerNorm\.", "embeddings.norm."),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.", r"layers.\1.attention.\2."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.output."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"layers.\1.attention_norm."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.feed_forward.up."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.feed_forward.down."),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"layers.\1.feed_forward_norm."),
)
"""What a BERT tensor's name begins with, and what ours begins with."""

BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
"""Old checkpoints carry these constants."""

HEADS = ("pooler.", "cls.", "classifier.", "qa_outputs.", "dropout.")
"""What stands on BERT's encoder; this family has no pooler, so no head of BERT's fits."""


def config_of_bert(values: Mapping[str, Any], source: str) -> BertConfig:
    """The configuration in a `config.json`, with BERT's defaults for what old files leave out.

    Raises:
        UnsupportedModelError: a BERT that computes something else than this family; names the setting.
    """
    config = BertConfig.from_dict(dict(values))
    known = {activation.value for activation in Activation}
    refused = {
        "hidden_act": config.hidden_act not in known,
        "position_embedding_type": values.get("position_embedding_type", "absolute") != "absolute",
        "is_decoder": bool(config.is_decoder),
        "num_attention_heads": config.hidden_size % config.num_attention_heads != 0,
        "quantization_config": "quantization_config" in values,
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise UnsupportedModelError(f"{source}: a BERT with {name} = {values.get(name)!r} is not supported")
    return config


def architecture_of_bert(config: BertConfig) -> Architecture:
    """The encoder's shape, without the pooler."""
    return Architecture(
        vocabulary_size=config.vocab_size,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        heads=config.num_attention_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        ffn_size=config.intermediate_size,
        max_positions=config.max_position_embeddings,
        token_types=config.type_vocab_size,
        activation=Activation(config.hidden_act),
    )


def encoder_tensors(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The tensors of `StillhouseEncoder` among those of any BERT model, poolers and heads left out.

    Raises:
        CheckpointError: tensors that belong neither to BERT's encoder nor to its heads.
    """
    renamed: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        bare = name.removeprefix("bert.")
        if bare in BUFFERS or bare.startswith(HEADS):
            continue
        ours = _rename(bare)
        if ours is None:
            unknown.append(name)
        else:
            renamed[ours] = tensor
    if unknown:
        raise CheckpointError(f"{source} has tensors that are not BERT's: {', '.join(sorted(unknown)[:5])}")
    return renamed


def _rename(name: str) -> str | None:
    # Checkpoints converted from TensorFlow call a norm's weight gamma and its bias beta.
    modern = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    modern = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", modern)
    for pattern, replacement in NAMES:
        ours, matched = re.subn(f"^{pattern}", replacement, modern)
        if matched:
            return ours
    return None
