"""The shape of one encoder, as a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from search_space.errors import InvalidArchitectureError


class Activation(StrEnum):
    GELU = "gelu"
    RELU = "relu"


class Norm(StrEnum):
    LAYER_NORM = "layer_norm"
    """Mean 0 and variance 1 over the units, then a weight and a bias for each."""
    NO_NORM = "no_norm"
    """MobileBERT's: only the weight and the bias."""


class AttentionInput(StrEnum):
    """What queries, keys and values are computed from, in a block with a bottleneck."""

    INPUT = "input"
    """All three from the block's input."""
    SHARED = "shared"
    """Queries and keys from a bottleneck of their own, values from the block's input."""
    BOTTLENECK = "bottleneck"
    """All three from the block's bottleneck."""


class Pooler(StrEnum):
    """A dense layer over the first token's hidden state, as part of the encoder; named by its activation."""

    NONE = "none"
    TANH = "tanh"
    RELU = "relu"


OPTIONS: Mapping[str, tuple[StrEnum, ...] | tuple[bool, ...]] = {
    "activation": tuple(Activation),
    "norm": tuple(Norm),
    "attention_input": tuple(AttentionInput),
    "pooler": tuple(Pooler),
    "trigram": (False, True),
}
"""The fields of an architecture that are no sizes, and their values; columns hold the place of a value in here."""

LOWEST = {
    "heads": 0,
    "ffn_size": 0,
    "token_types": 0,
    "embedding_size": 0,
    "bottleneck_size": 0,
}
"""Sizes that may be 0; every other is at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The shape of one encoder of the BERT family (embeddings, blocks and pooler, no task head).

    With input x, each of the `layers` blocks computes

        z   = norm(W_in x) with a bottleneck, else x
        y   = norm(W_o attention(Q, K, V) + z)
        y   = norm(W_2 act(W_1 y) + y), `ffn_stacks` times
        out = norm(W_out y + x) with a bottleneck, else y

    Heads together are `heads * head_size` wide, whatever the width they read. `heads` and `ffn_size` are one number,
    or one for each layer, as in encoders that were cut out of a larger one; a layer without heads, or without
    feed-forward neurons, keeps only that part's residual and norm.

    Args:
        bottleneck_size: width inside the blocks; 0 for none.
        embedding_size: width of the word embeddings, mapped to `hidden_size`; 0 where they have that width. Positions
            and token types are always `hidden_size` wide.
        trigram: each token is embedded together with the one before and the one after it.

    Values of equal meaning are equal: one number for all layers is kept as that number, an `embedding_size` of
    `hidden_size` as 0, and without any heads a `head_size` as 1 and an `attention_input` as `input`.

    Raises:
        InvalidArchitectureError: a size out of its range, an unknown option, or a combination that has no meaning;
            names the field, the value and the reason.

    References: arXiv:1810.04805 (BERT), 2004.02984 (MobileBERT), 2201.08539 (AutoDistill).
    """

    vocabulary_size: int
    layers: int
    hidden_size: int
    heads: int | tuple[int, ...]
    head_size: int
    ffn_size: int | tuple[int, ...]
    ffn_stacks: int = 1
    bottleneck_size: int = 0
    attention_input: AttentionInput = AttentionInput.INPUT
    embedding_size: int = 0
    trigram: bool = False
    norm: Norm = Norm.LAYER_NORM
    activation: Activation = Activation.GELU
    pooler: Pooler = Pooler.NONE
    max_positions: int = 512
    token_types: int = 2

    def __post_init__(self) -> None:
        for name, values in OPTIONS.items():
            object.__setattr__(self, name, _option(name, getattr(self, name), values))
        for field in fields(self):
            if field.name not in (*OPTIONS, *PER_LAYER):
                _size(field.name, getattr(self, field.name))
        for name in PER_LAYER:
            object.__setattr__(self, name, _sizes(name, getattr(self, name), self.layers))
        if self.embedding_size == self.hidden_size:
            object.__setattr__(self, "embedding_size", 0)
        if self.attention_input is not AttentionInput.INPUT and not self.bottleneck_size:
            raise InvalidArchitectureError(
                f"attention_input {self.attention_input.value!r} needs a bottleneck_size: without a bottleneck queries,"
                " keys and values can only be computed from the block's input"
            )
        if self.heads == 0:
            object.__setattr__(self, "head_size", 1)
            object.__setattr__(self, "attention_input", AttentionInput.INPUT)

    @property
    def heads_by_layer(self) -> tuple[int, ...]:
        return self.heads if isinstance(self.heads, tuple) else (self.heads,) * self.layers

    @property
    def ffn_sizes_by_layer(self) -> tuple[int, ...]:
        return self.ffn_size if isinstance(self.ffn_size, tuple) else (self.ffn_size,) * self.layers

    @property
    def is_uniform(self) -> bool:
        """Whether all layers have the same shape."""
        return not isinstance(self.heads, tuple) and not isinstance(self.ffn_size, tuple)

    @property
    def block_size(self) -> int:
        """Width of what attention and feed-forward add to: the bottleneck's, or else the hidden size."""
        return self.bottleneck_size or self.hidden_size

    @property
    def word_size(self) -> int:
        """Width of the word embeddings."""
        return self.embedding_size or self.hidden_size

    @property
    def key(self) -> str:
        """Canonical key: equal architectures have equal keys, across processes and versions of Python.

        Besides the fields of the first version only what is not at its default enters it, so a field that is added
        with a default that means what was before changes no key.
        """
        values = {name: _plain(getattr(self, name)) for name in FIRST_FIELDS} | self.to_dict()
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Short text for tables: layers x hidden size (/ bottleneck), heads x head size, (stacks x) FFN width."""
        inside = f"/{self.bottleneck_size}" if self.bottleneck_size else ""
        stacks = f"{self.ffn_stacks}x" if self.ffn_stacks > 1 else ""
        heads, ffn = _span(self.heads), _span(self.ffn_size)
        return f"{self.layers}x{self.hidden_size}{inside} a{heads}x{self.head_size} f{stacks}{ffn}"

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not at their default, as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value != defaults[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Raises: InvalidArchitectureError on a missing, unknown or invalid field."""
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise InvalidArchitectureError(f"not an architecture: {error}") from error

    @classmethod
    def of_valid(cls, values: Iterable[object]) -> Architecture:
        """The architecture of all fields' values in order, which are taken as they are: valid, and as a checked
        architecture would keep them. Several times as fast; for search spaces, that checked them as columns.
        """
        architecture = cls.__new__(cls)
        for put, value in zip(_SETTERS, values, strict=True):
            put(architecture, value)
        return architecture


_SETTERS = tuple(getattr(Architecture, field.name).__set__ for field in fields(Architecture))

FIRST_FIELDS = (
    "vocabulary_size",
    "layers",
    "hidden_size",
    "heads",
    "head_size",
    "ffn_size",
    "max_positions",
    "token_types",
    "activation",
)
"""What an architecture had when the first studies were stored."""

PER_LAYER = ("heads", "ffn_size")
"""The sizes of which each layer may have its own."""


def _option(name: str, value: object, values: Sequence[StrEnum] | Sequence[bool]) -> object:
    for known in values:
        if known == value and isinstance(value, bool) == isinstance(known, bool):
            return known
    raise InvalidArchitectureError(f"{name} must be one of {', '.join(str(known) for known in values)}, got {value!r}")


def _size(name: str, value: object) -> int:
    lowest = LOWEST.get(name, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InvalidArchitectureError(f"{name} must be an integer of at least {lowest}, got {value!r}")
    return value


def _sizes(name: str, value: object, layers: int) -> int | tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return _size(name, value)
    sizes = tuple(_size(name, size) for size in value)
    if len(sizes) != layers:
        raise InvalidArchitectureError(f"{name} must be one size, or one for each of {layers} layers, got {value!r}")
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _span(size: int | tuple[int, ...]) -> str:
    return f"{min(size)}..{max(size)}" if isinstance(size, tuple) else str(size)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value
