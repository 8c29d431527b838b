"""BERT, and what shares its layout: TinyBERT, MiniLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import BertConfig, PretrainedConfig

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

ACTIVATIONS = tuple(activation.value for activation in Activation)

CLASSIFIER = {"classifier": "classifier"}
QA_OUTPUTS = {"classifier": "qa_outputs"}

ENCODER = {
    "encoder.embeddings.word": "bert.embeddings.word_embeddings",
    "encoder.embeddings.position": "bert.embeddings.position_embeddings",
    "encoder.embeddings.token_type": "bert.embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.layers.{layer}.attention.query": "bert.encoder.layer.{layer}.attention.self.query",
    "encoder.layers.{layer}.attention.key": "bert.encoder.layer.{layer}.attention.self.key",
    "encoder.layers.{layer}.attention.value": "bert.encoder.layer.{layer}.attention.self.value",
    "encoder.layers.{layer}.attention.output": "bert.encoder.layer.{layer}.attention.output.dense",
    "encoder.layers.{layer}.attention.norm": "bert.encoder.layer.{layer}.attention.output.LayerNorm",
    "encoder.layers.{layer}.feed_forward.last.up": "bert.encoder.layer.{layer}.intermediate.dense",
    "encoder.layers.{layer}.feed_forward.last.down": "bert.encoder.layer.{layer}.output.dense",
    "encoder.layers.{layer}.feed_forward.last.norm": "bert.encoder.layer.{layer}.output.LayerNorm",
}

LAYOUT = Layout(
    prefix="bert.",
    encoder=ENCODER,
    poolers={"bert.pooler.dense": Pooler.TANH},
    heads={
        HeadKind.CLASSIFICATION: CLASSIFIER,
        HeadKind.REGRESSION: CLASSIFIER,
        HeadKind.TOKEN_CLASSIFICATION: CLASSIFIER,
        HeadKind.QUESTION_ANSWERING: QA_OUTPUTS,
        HeadKind.MASKED_LM: {
            "transform": "cls.predictions.transform.dense",
            "norm": "cls.predictions.transform.LayerNorm",
            "bias": "cls.predictions.bias",
        },
    },
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    unread=(
        r"embeddings\.position_ids",
        r"embeddings\.token_type_ids",
        r"cls\.",
        r"classifier\.",
        r"qa_outputs\.",
        r"fit_dense\.",  # TinyBERT's maps to its teacher
        r"fit_denses\.",
    ),
)


class Bert:
    """Type `bert`; written with two token types of zeros where ours has none."""

    model_type = "bert"
    layout = LAYOUT
    class_stem = "Bert"

    def describe(self, values: Mapping[str, Any], source: str) -> Description:
        config = parse(BertConfig, values, source)
        refuse(config, values, bert_settings(config), source)
        return describe_bert(config)

    def obstacle(self, config: StillhouseConfig, kind: Kind) -> str | None:
        shape = architecture_of(config)
        return plain_obstacle(config, shape) or pooler_obstacle(config, kind, ("tanh",)) or bare_obstacle(shape, kind)

    def configuration(self, config: StillhouseConfig) -> PretrainedConfig:
        return BertConfig(**said_as_bert(config), **said_alike(config))

    def completed(self, tensors: dict[str, Tensor], theirs: PretrainedConfig) -> dict[str, Tensor]:
        return with_token_types(tensors, theirs)


def bert_settings(config: Any) -> dict[str, bool]:
    """The settings that may be refused, and whether they are."""
    return {
        "hidden_act": config.hidden_act not in ACTIVATIONS,
        "num_attention_heads": config.hidden_size % config.num_attention_heads != 0,
    }


def describe_bert(config: Any) -> Description:
    """Of a configuration with BERT's names."""
    head, labels = own_head(config)
    return Description(
        architecture=Architecture(
            vocabulary_size=config.vocab_size,
            layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            heads=config.num_attention_heads,
            head_size=config.hidden_size // config.num_attention_heads,
            ffn_size=config.intermediate_size,
            max_positions=config.max_position_embeddings,
            token_types=config.type_vocab_size,
            activation=Activation(config.hidden_act),
        ),
        head=head,
        labels=labels,
        classes=config.num_labels,
        pooler=Pooler.TANH,
        layer_norm_eps=config.layer_norm_eps,
        embedding_norm_eps=config.layer_norm_eps,
        dropout=float(config.hidden_dropout_prob),
        attention_dropout=float(config.attention_probs_dropout_prob),
    )


def said_as_bert(config: StillhouseConfig) -> dict[str, Any]:
    """The settings of a BERT of the same shape; MobileBERT calls them so too."""
    shape = architecture_of(config)
    return {
        "vocab_size": shape.vocabulary_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn_size,
        "hidden_act": shape.activation.value,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "max_position_embeddings": shape.max_positions,
        "type_vocab_size": shape.token_types or 2,
        "layer_norm_eps": config.layer_norm_eps,
    }


def with_token_types(tensors: dict[str, Tensor], theirs: PretrainedConfig) -> dict[str, Tensor]:
    """Their classes always add the embedding of a type, so ours without types gets two that are zero."""
    prefix = "" if "embeddings.word_embeddings.weight" in tensors else f"{theirs.model_type}."
    words = tensors[f"{prefix}embeddings.word_embeddings.weight"]
    norm = tensors[f"{prefix}embeddings.LayerNorm.weight"]
    return {f"{prefix}embeddings.token_type_embeddings.weight": words.new_zeros((2, len(norm))), **tensors}


def bare_obstacle(shape: Architecture, kind: Kind) -> str | None:
    """An encoder without a head, of a class that always has a pooler."""
    return None if kind is not None or shape.pooler is Pooler.TANH else f"its pooler is {shape.pooler.value!r}"
