"""Between values and modules: an architecture and a head become a model, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from encoders.errors import EncoderError
from encoders.modeling_stillhouse import StillhouseConfig, StillhouseForSequenceClassification
from encoders.values import Head, Pooling
from search_space import Architecture


def build(
    architecture: Architecture, head: Head, labels: Sequence[str] | None = None, *, seed: int = 0
) -> StillhouseForSequenceClassification:
    """A model with random weights, as BERT starts: normal of standard deviation 0.02, zero biases, unit norms.

    Equal arguments give equal weights. torch's global random state is left as it was. The model is on the CPU, in
    float32 and in evaluation mode.

    Raises:
        EncoderError: `labels` do not name each class once.
    """
    return build_from(config_of(architecture, head, labels), seed=seed)


def build_from(config: StillhouseConfig, *, seed: int = 0) -> StillhouseForSequenceClassification:
    """As `build`, from a configuration."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed the accelerators as well.
        torch.default_generator.manual_seed(seed)
        model = StillhouseForSequenceClassification(config)
    model.train(False)
    return model


def config_of(
    architecture: Architecture, head: Head, labels: Sequence[str] | None = None, *, layer_norm_eps: float = 1e-12
) -> StillhouseConfig:
    """The configuration of a model of this architecture and head.

    Raises:
        EncoderError: `labels` do not name each class once.
    """
    names = [f"LABEL_{index}" for index in range(head.classes)] if labels is None else list(labels)
    if len(names) != head.classes or len(set(names)) != len(names):
        raise EncoderError(f"labels must name each of the {head.classes} classes once, got {names}")
    shape = architecture.to_dict() | {"activation": architecture.activation.value}
    return StillhouseConfig(
        **shape,
        pooling=head.pooling.value,
        layer_norm_eps=layer_norm_eps,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )


def architecture_of(config: StillhouseConfig) -> Architecture:
    """The architecture of a model of this configuration.

    Raises:
        InvalidArchitectureError: a size that no encoder can have.
    """
    names = ("vocabulary_size", "layers", "hidden_size", "heads", "head_size", "ffn_size", "max_positions")
    shape = {name: getattr(config, name) for name in (*names, "token_types", "activation")}
    return Architecture.from_dict(shape)


def head_of(config: StillhouseConfig) -> Head:
    """The head of a model of this configuration."""
    return Head(classes=len(labels_of(config)), pooling=Pooling(config.pooling))


def labels_of(config: StillhouseConfig) -> tuple[str, ...]:
    """The names of the classes, in the order of the logits."""
    # transformers turns the keys, text in JSON, into integers.
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    return tuple(name for _, name in sorted(names.items()))
