"""A checkpoint as a model of this family: its encoder, and its head if that is the head wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from encoders.build import architecture_of, build_from, config_of, head_of, labels_of
from encoders.errors import EncoderError, UnsupportedModelError
from encoders.layouts import Description, Layout, Readable, check_tied, modern, present, translated
from encoders.modeling_stillhouse import StillhouseConfig, StillhouseEncoder, StillhouseTaskModel
from encoders.values import POOLING, Head, Pooling
from encoders.weights import fit
from search_space import Pooler


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEncoder:
    """A model read from elsewhere, on the CPU, in float32 and in evaluation mode.

    `has_task_head` says whether the head's weights are the source's. Otherwise they are random, and the model must be
    fine-tuned before it can teach logits. `notes` say where the source's own class computes something else.
    """

    model: StillhouseTaskModel
    has_task_head: bool
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint: its `config.json`, and its tensors when they are asked for."""

    name: str
    config: Mapping[str, Any]
    tensors: Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The head and labels asked for, and the seed of a new head's weights."""

    head: Head | None
    labels: tuple[str, ...] | None
    seed: int


def read_own(source: Source, wanted: Wanted) -> ImportedEncoder:
    """From a model of type `stillhouse`."""
    described = _describe_own(source)
    choice = _choice(described, wanted)
    tensors = source.tensors()
    if described.head is None:
        tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    is_read = choice.is_kept or _reads_pooler(choice.head)
    if not is_read:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.pooler.")}
    model = _built(described, choice, described.pooler if is_read else Pooler.NONE, wanted.seed)
    _fill(model, tensors, choice, source.name)
    return ImportedEncoder(model=model, has_task_head=choice.is_kept, source=source.name)


def read_other(model_type: Readable, source: Source, wanted: Wanted) -> ImportedEncoder:
    """From a model of a type of transformers."""
    described = _describe_other(model_type, source)
    layout, tensors = model_type.layout, modern(source.tensors())
    own = described.head
    if own is not None and not _holds(tensors, layout.heads.get(own.kind, {}).values()):
        described = replace(described, head=None)  # it is not in the file, or not of this family
    choice = _choice(described, wanted)
    if choice.is_kept:
        check_tied(tensors, layout, source.name)
    found = next((name for name in layout.poolers if present(tensors, layout.prefix, f"{name}.weight")), None)
    pooler = Pooler.NONE
    if _reads_pooler(choice.head):
        pooler = described.pooler if choice.is_kept else _pooler_there(described, layout, found)
    model = _built(described, choice, pooler, wanted.seed)
    ours = translated(
        tensors,
        [name for name in model.state_dict() if choice.is_kept or name.startswith("encoder.")],
        layout,
        kind=choice.head.kind if choice.is_kept else None,
        stacks=described.architecture.ffn_stacks,
        pooler=found,
        source=source.name,
    )
    positions = "encoder.embeddings.position.weight"
    ours[positions] = ours[positions][described.first_position :]
    _fill(model, ours, choice, source.name)
    notes = _notes(described, model)
    return ImportedEncoder(model=model, has_task_head=choice.is_kept, source=source.name, notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The model's head, and the source's outputs in the order wanted; without an order its head is not kept."""

    head: Head
    labels: tuple[str, ...] | None
    order: list[int] | None

    @property
    def is_kept(self) -> bool:
        return self.order is not None


def _choice(described: Description, wanted: Wanted) -> _Choice:
    order = _order(described, wanted)
    fresh = Head(classes=max(2, described.classes, len(wanted.labels or ())))
    own_labels = described.labels if order is not None else None
    return _Choice(
        head=wanted.head or described.head or fresh,
        labels=wanted.labels if wanted.labels is not None else own_labels or None,
        order=order,
    )


def _order(described: Description, wanted: Wanted) -> list[int] | None:
    if described.head is None or wanted.head not in (None, described.head):
        return None
    order = list(range(len(described.labels)))
    if wanted.labels in (None, described.labels):
        return order
    own = [name.casefold() for name in described.labels]
    asked = [name.casefold() for name in wanted.labels or ()]
    if sorted(own) != sorted(asked) or len(set(own)) != len(own):
        return None
    return [own.index(name) for name in asked]


def _reads_pooler(head: Head) -> bool:
    return head.kind in POOLING and head.pooling is Pooling.CLS


def _pooler_there(described: Description, layout: Layout, found: str | None) -> Pooler:
    """For a new head; a class without a pooler ignores one in its file."""
    return Pooler.NONE if found is None or described.pooler is Pooler.NONE else layout.poolers[found]


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of a setting that nobody has foreseen: transformers' classes take nearly everything."""


def _describe_other(model_type: Readable, source: Source) -> Description:
    try:
        return model_type.describe(source.config, source.name)
    except EncoderError:
        raise
    except _UNREADABLE as error:
        raise UnsupportedModelError(f"{source.name}: cannot read its config.json: {error}") from error


def _describe_own(source: Source) -> Description:
    try:
        config = StillhouseConfig(**{name: value for name, value in source.config.items() if name != "model_type"})
        shape = architecture_of(config)
        head = None if config.architectures == [StillhouseEncoder.__name__] else head_of(config)
    except _UNREADABLE as error:
        raise UnsupportedModelError(f"{source.name}: {error}") from error
    return Description(
        architecture=replace(shape, pooler=Pooler.NONE),
        head=head,
        labels=labels_of(config),
        classes=len(labels_of(config)),
        pooler=shape.pooler,
        layer_norm_eps=config.layer_norm_eps,
        embedding_norm_eps=config.embedding_norm_eps,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )


def _built(described: Description, choice: _Choice, pooler: Pooler, seed: int) -> StillhouseTaskModel:
    config = config_of(
        replace(described.architecture, pooler=pooler),
        choice.head,
        choice.labels,
        layer_norm_eps=described.layer_norm_eps,
        embedding_norm_eps=described.embedding_norm_eps,
    )
    config.dropout, config.attention_dropout = described.dropout, described.attention_dropout
    return build_from(config, choice.head.kind, seed=seed)


def _holds(tensors: Mapping[str, Tensor], modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules for name in tensors)


def _fill(model: StillhouseTaskModel, tensors: dict[str, Tensor], choice: _Choice, source: str) -> None:
    """Loads the whole model, its outputs in the order wanted; or the encoder alone."""
    if choice.order is None:
        prefix = "encoder."
        tensors = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
        fit(model.encoder, tensors, source)
        return
    fit(model, tensors, source)
    if choice.order != sorted(choice.order):
        outputs = model.get_submodule("classifier")
        with torch.no_grad():
            for parameter in outputs.parameters():
                parameter.copy_(parameter[choice.order])


def _notes(described: Description, model: StillhouseTaskModel) -> tuple[str, ...]:
    words = model.encoder.embeddings.word.weight
    if described.architecture.trigram and described.padding < len(words) and words[described.padding].any():
        return (
            "in a padded text the source's own class lets the last token read the padding behind it; here every text"
            " gives what it gives alone",
        )
    return ()
