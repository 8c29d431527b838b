"""MobileBERT, and what of its ingredients its class can combine.

References: arXiv:2004.02984.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import MobileBertConfig, PretrainedConfig

from encoders.bert import ACTIVATIONS, CLASSIFIER, ENCODER, QA_OUTPUTS, describe_bert, said_as_bert, with_token_types
from encoders.build import architecture_of
from encoders.layouts import Description, Kind, Layout, parse, pooler_obstacle, refuse, said_alike, shape_obstacle
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import HeadKind
from search_space import AttentionInput, Norm, Pooler

FIXED_EPS = 1e-5
"""Of the embeddings' norm and of each block's last feed-forward norm, whatever the configuration says."""

BLOCK = "mobilebert.encoder.layer.{layer}"

LAYOUT = Layout(
    prefix="mobilebert.",
    encoder={
        **{ours: theirs.replace("bert.", "mobilebert.", 1) for ours, theirs in ENCODER.items()},
        "encoder.embeddings.projection": "mobilebert.embeddings.embedding_transformation",
        "encoder.layers.{layer}.bottleneck.linear": f"{BLOCK}.bottleneck.input.dense",
        "encoder.layers.{layer}.bottleneck.norm": f"{BLOCK}.bottleneck.input.LayerNorm",
        "encoder.layers.{layer}.shared.linear": f"{BLOCK}.bottleneck.attention.dense",
        "encoder.layers.{layer}.shared.norm": f"{BLOCK}.bottleneck.attention.LayerNorm",
        "encoder.layers.{layer}.feed_forward.{stack}.up": f"{BLOCK}.ffn.{{stack}}.intermediate.dense",
        "encoder.layers.{layer}.feed_forward.{stack}.down": f"{BLOCK}.ffn.{{stack}}.output.dense",
        "encoder.layers.{layer}.feed_forward.{stack}.norm": f"{BLOCK}.ffn.{{stack}}.output.LayerNorm",
        "encoder.layers.{layer}.expansion.linear": f"{BLOCK}.output.bottleneck.dense",
        "encoder.layers.{layer}.expansion.norm": f"{BLOCK}.output.bottleneck.LayerNorm",
    },
    poolers={"mobilebert.pooler.dense": Pooler.TANH},
    heads={
        HeadKind.CLASSIFICATION: CLASSIFIER,
        HeadKind.REGRESSION: CLASSIFIER,
        HeadKind.TOKEN_CLASSIFICATION: CLASSIFIER,
        HeadKind.QUESTION_ANSWERING: QA_OUTPUTS,
    },
    unread=(
        r"embeddings\.embedding_transformation\.",
        r"encoder\.layer\.\d+\.bottleneck\.attention\.",
        r"embeddings\.position_ids",
        r"cls\.",
        r"classifier\.",
        r"qa_outputs\.",
    ),
)


class MobileBert:
    """Type `mobilebert`. Its masked-LM head, part of whose output layer is no word embedding, is not of this family."""

    model_type = "mobilebert"
    layout = LAYOUT
    class_stem = "MobileBert"

    def describe(self, values: Mapping[str, Any], source: str) -> Description:
        config = parse(MobileBertConfig, values, source)
        refuse(config, values, _settings(config), source)
        described = describe_bert(config)
        heads = config.num_attention_heads
        shape = replace(
            described.architecture,
            head_size=config.true_hidden_size // heads,
            ffn_stacks=config.num_feedforward_networks,
            bottleneck_size=config.intra_bottleneck_size if config.use_bottleneck else 0,
            attention_input=_attention_input(config),
            embedding_size=config.embedding_size,
            trigram=config.trigram_input,
            norm=Norm(config.normalization_type),
        )
        return replace(
            described,
            architecture=shape,
            pooler=Pooler.TANH if config.classifier_activation else Pooler.NONE,
            padding=config.pad_token_id or 0,
        )

    def obstacle(self, config: StillhouseConfig, kind: Kind) -> str | None:
        shape = architecture_of(config)
        if kind is HeadKind.MASKED_LM:
            return "MobileBERT's masked-LM head computes something else"
        if kind is None and shape.pooler is Pooler.RELU:
            return "its pooler is 'relu'"
        eps = {config.layer_norm_eps, config.embedding_norm_eps}
        if shape.norm is Norm.LAYER_NORM and eps != {FIXED_EPS}:
            return f"its layer norms have an eps other than {FIXED_EPS}"
        reads_input = shape.bottleneck_size > 0 and shape.attention_input is AttentionInput.INPUT
        if reads_input and shape.bottleneck_size != shape.hidden_size:
            return "queries and keys are computed from the input of blocks with a narrower bottleneck"
        return shape_obstacle(shape) or pooler_obstacle(config, kind, ("tanh", "none"))

    def configuration(self, config: StillhouseConfig) -> PretrainedConfig:
        shape = architecture_of(config)
        return MobileBertConfig(
            **said_as_bert(config),
            embedding_size=shape.word_size,
            trigram_input=shape.trigram,
            use_bottleneck=shape.bottleneck_size > 0,
            intra_bottleneck_size=shape.block_size,
            use_bottleneck_attention=shape.attention_input is AttentionInput.BOTTLENECK,
            key_query_shared_bottleneck=shape.attention_input is AttentionInput.SHARED,
            num_feedforward_networks=shape.ffn_stacks,
            normalization_type=shape.norm.value,
            classifier_activation=shape.pooler is Pooler.TANH,
            **said_alike(config),
        )

    def completed(self, tensors: dict[str, Tensor], theirs: PretrainedConfig) -> dict[str, Tensor]:
        tensors = with_token_types(tensors, theirs)
        words = next(name for name in tensors if name.endswith("embeddings.word_embeddings.weight"))
        mapped = words.replace("word_embeddings", "embedding_transformation")
        if mapped not in tensors:  # their class has the map even where it does not use it
            size = theirs.hidden_size
            tensors[mapped] = torch.eye(size, dtype=tensors[words].dtype)
            tensors[mapped.replace("weight", "bias")] = tensors[words].new_zeros(size)
        if theirs.trigram_input:
            # Theirs reads the padding behind the last token, where ours reads zeros.
            tensors[words] = tensors[words].clone()
            tensors[words][theirs.pad_token_id or 0] = 0
        return tensors


def _settings(config: Any) -> dict[str, bool]:
    """The settings that may be refused, and whether they are."""
    reads_input = config.use_bottleneck and _attention_input(config) is AttentionInput.INPUT
    is_normalised = config.normalization_type == Norm.LAYER_NORM.value
    return {
        "hidden_act": config.hidden_act not in ACTIVATIONS,
        "normalization_type": config.normalization_type not in {norm.value for norm in Norm},
        # Only some of its norms follow the setting; the others are of torch's default.
        "layer_norm_eps": is_normalised and config.layer_norm_eps != FIXED_EPS,
        "num_attention_heads": config.true_hidden_size % config.num_attention_heads != 0,
        # Its forward pass fails: the maps of queries and keys expect the bottleneck's width.
        "key_query_shared_bottleneck": reads_input and config.true_hidden_size != config.hidden_size,
    }


def _attention_input(config: Any) -> AttentionInput:
    if config.use_bottleneck and config.use_bottleneck_attention:
        return AttentionInput.BOTTLENECK
    if config.use_bottleneck and config.key_query_shared_bottleneck:
        return AttentionInput.SHARED
    return AttentionInput.INPUT
