"""DistilBERT: BERT without token types and without the encoder's pooler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import DistilBertConfig, PretrainedConfig

from encoders.bert import ACTIVATIONS, CLASSIFIER, QA_OUTPUTS
from encoders.build import architecture_of
from encoders.layouts import (
    Description,
    Kind,
    Layout,
    own_head,
    parse,
    plain_obstacle,
    pooler_obstacle,
    refuse,
    said_alike,
)
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import HeadKind
from search_space import Activation, Architecture, Pooler

EPS = 1e-12
"""Of every norm; no setting changes it."""

LAYOUT = Layout(
    prefix="distilbert.",
    encoder={
        "encoder.embeddings.word": "distilbert.embeddings.word_embeddings",
        "encoder.embeddings.position": "distilbert.embeddings.position_embeddings",
        "encoder.embeddings.norm": "distilbert.embeddings.LayerNorm",
        "encoder.layers.{layer}.attention.query": "distilbert.transformer.layer.{layer}.attention.q_lin",
        "encoder.layers.{layer}.attention.key": "distilbert.transformer.layer.{layer}.attention.k_lin",
        "encoder.layers.{layer}.attention.value": "distilbert.transformer.layer.{layer}.attention.v_lin",
        "encoder.layers.{layer}.attention.output": "distilbert.transformer.layer.{layer}.attention.out_lin",
        "encoder.layers.{layer}.attention.norm": "distilbert.transformer.layer.{layer}.sa_layer_norm",
        "encoder.layers.{layer}.feed_forward.last.up": "distilbert.transformer.layer.{layer}.ffn.lin1",
        "encoder.layers.{layer}.feed_forward.last.down": "distilbert.transformer.layer.{layer}.ffn.lin2",
        "encoder.layers.{layer}.feed_forward.last.norm": "distilbert.transformer.layer.{layer}.output_layer_norm",
    },
    poolers={"pre_classifier": Pooler.RELU},
    heads={
        HeadKind.CLASSIFICATION: CLASSIFIER,
        HeadKind.REGRESSION: CLASSIFIER,
        HeadKind.TOKEN_CLASSIFICATION: CLASSIFIER,
        HeadKind.QUESTION_ANSWERING: QA_OUTPUTS,
        HeadKind.MASKED_LM: {
            "transform": "vocab_transform",
            "norm": "vocab_layer_norm",
            "bias": "vocab_projector.bias",
        },
    },
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    unread=(r"embeddings\.position_ids", "vocab_", r"classifier\.", r"qa_outputs\."),
)


class DistilBert:
    """Type `distilbert`."""

    model_type = "distilbert"
    layout = LAYOUT
    class_stem = "DistilBert"

    def describe(self, values: Mapping[str, Any], source: str) -> Description:
        config = parse(DistilBertConfig, values, source)
        refused = {"activation": config.activation not in ACTIVATIONS, "n_heads": config.dim % config.n_heads != 0}
        refuse(config, values, refused, source)
        head, labels = own_head(config)
        return Description(
            architecture=Architecture(
                vocabulary_size=config.vocab_size,
                layers=config.n_layers,
                hidden_size=config.dim,
                heads=config.n_heads,
                head_size=config.dim // config.n_heads,
                ffn_size=config.hidden_dim,
                max_positions=config.max_position_embeddings,
                token_types=0,
                activation=Activation(config.activation),
            ),
            head=head,
            labels=labels,
            classes=config.num_labels,
            pooler=Pooler.RELU,
            layer_norm_eps=EPS,
            embedding_norm_eps=EPS,
            dropout=float(config.dropout),
            attention_dropout=float(config.attention_dropout),
        )

    def obstacle(self, config: StillhouseConfig, kind: Kind) -> str | None:
        shape = architecture_of(config)
        if shape.token_types:
            return "it has token types"
        if config.layer_norm_eps != EPS:
            return f"its norms have an eps of {config.layer_norm_eps}"
        if kind is None and shape.pooler is not Pooler.NONE:
            return f"its pooler is {shape.pooler.value!r}"
        return plain_obstacle(config, shape) or pooler_obstacle(config, kind, ("relu",))

    def configuration(self, config: StillhouseConfig) -> PretrainedConfig:
        shape = architecture_of(config)
        return DistilBertConfig(
            vocab_size=shape.vocabulary_size,
            max_position_embeddings=shape.max_positions,
            n_layers=shape.layers,
            n_heads=shape.heads_by_layer[0],
            dim=shape.hidden_size,
            hidden_dim=shape.ffn_sizes_by_layer[0],
            activation=shape.activation.value,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            qa_dropout=config.dropout,
            seq_classif_dropout=config.dropout,
            **said_alike(config),
        )

    def completed(self, tensors: dict[str, Tensor], theirs: PretrainedConfig) -> dict[str, Tensor]:  # noqa: ARG002
        return tensors
