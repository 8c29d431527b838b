"""Between values and modules: an architecture and a head become a model, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from typing import Any

import torch

from encoders.errors import EncoderError
from encoders.modeling_stillhouse import (
    StillhouseConfig,
    StillhouseForMaskedLM,
    StillhouseForQuestionAnswering,
    StillhouseForSequenceClassification,
    StillhouseForTokenClassification,
    StillhouseTaskModel,
)
from encoders.values import CLASSIFYING, Head, HeadKind, Pooling
from search_space import Architecture

MODELS: Mapping[HeadKind, type[StillhouseTaskModel]] = {
    HeadKind.CLASSIFICATION: StillhouseForSequenceClassification,
    HeadKind.REGRESSION: StillhouseForSequenceClassification,
    HeadKind.TOKEN_CLASSIFICATION: StillhouseForTokenClassification,
    HeadKind.QUESTION_ANSWERING: StillhouseForQuestionAnswering,
    HeadKind.MASKED_LM: StillhouseForMaskedLM,
}


def build(
    architecture: Architecture, head: Head, labels: Sequence[str] | None = None, *, seed: int = 0
) -> StillhouseTaskModel:
    """A model with random weights, as BERT starts: normal of standard deviation 0.02, zero biases, unit norms.

    Equal arguments give equal weights. torch's global random state is left as it was. The model is on the CPU, in
    float32 and in evaluation mode.

    Raises:
        EncoderError: `labels` do not name each class once.
    """
    return build_from(config_of(architecture, head, labels), head.kind, seed=seed)


def build_from(config: StillhouseConfig, kind: HeadKind, *, seed: int = 0) -> StillhouseTaskModel:
    """As `build`, from a configuration."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed the accelerators as well.
        torch.default_generator.manual_seed(seed)
        model = MODELS[kind](config)
    model.train(False)
    return model


def config_of(
    architecture: Architecture,
    head: Head,
    labels: Sequence[str] | None = None,
    *,
    layer_norm_eps: float = 1e-12,
    embedding_norm_eps: float | None = None,
) -> StillhouseConfig:
    """The configuration of a model of this architecture and head.

    Raises:
        EncoderError: `labels` do not name each class once.
    """
    outputs = 1 if head.kind is HeadKind.REGRESSION else head.classes or 2
    names = [f"LABEL_{index}" for index in range(outputs)] if labels is None else list(labels)
    if len(names) != outputs or len(set(names)) != len(names):
        raise EncoderError(f"labels must name each of the {outputs} classes once, got {names}")
    shape: dict[str, Any] = {name: _plain(getattr(architecture, name)) for name in SHAPE}
    return StillhouseConfig(
        **shape,
        pooling=head.pooling.value,
        layer_norm_eps=layer_norm_eps,
        embedding_norm_eps=embedding_norm_eps,
        architectures=[MODELS[head.kind].__name__],
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )


def architecture_of(config: StillhouseConfig) -> Architecture:
    """The architecture of a model of this configuration.

    Raises:
        InvalidArchitectureError: a size that no encoder can have.
    """
    return Architecture.from_dict({name: getattr(config, name) for name in SHAPE})


def head_of(config: StillhouseConfig) -> Head:
    """The head of a model of this configuration.

    Raises:
        EncoderError: the configuration names no model with a head of this family.
    """
    names: dict[str, HeadKind] = {
        model.__name__: kind for kind, model in MODELS.items() if kind is not HeadKind.REGRESSION
    }
    kinds = [names[name] for name in config.architectures or () if name in names]
    if not kinds:
        raise EncoderError(f"no model with a head among the architectures {config.architectures}")
    labels = labels_of(config)
    regresses = kinds[0] is HeadKind.CLASSIFICATION and len(labels) == 1
    kind = HeadKind.REGRESSION if regresses else kinds[0]
    return Head(kind=kind, classes=len(labels) if kind in CLASSIFYING else 0, pooling=Pooling(config.pooling))


def labels_of(config: StillhouseConfig) -> tuple[str, ...]:
    """The names of the classes, in the order of the logits."""
    # transformers turns the keys, text in JSON, into integers.
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    return tuple(name for _, name in sorted(names.items()))


SHAPE = tuple(field.name for field in fields(Architecture))


def _plain(value: object) -> object:
    """As a configuration keeps it: JSON would make lists of tuples, and text of options."""
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value
