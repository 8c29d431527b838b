"""The shape of one encoder, as a value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from search_space.errors import InvalidArchitectureError


class Activation(StrEnum):
    GELU = "gelu"
    RELU = "relu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The shape of one BERT-like encoder (embeddings and blocks, no task head).

    Attention maps `hidden_size` to `heads * head_size` and back, so the head size is free of `hidden_size / heads`.

    Raises:
        InvalidArchitectureError: a size is not a positive integer, or the activation is unknown; names field and value.
    """

    vocabulary_size: int
    layers: int
    hidden_size: int
    heads: int
    head_size: int
    ffn_size: int
    max_positions: int = 512
    token_types: int = 2
    activation: Activation = Activation.GELU

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "activation", Activation(self.activation))
        except ValueError as error:
            known = ", ".join(Activation)
            raise InvalidArchitectureError(f"activation must be one of {known}, got {self.activation!r}") from error
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Activation):
                continue
            lowest = 0 if field.name == "token_types" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise InvalidArchitectureError(f"{field.name} must be an integer of at least {lowest}, got {value!r}")

    @property
    def attention_size(self) -> int:
        """Width of the concatenated heads."""
        return self.heads * self.head_size

    @property
    def key(self) -> str:
        """Canonical key: equal architectures have equal keys, across processes and versions of Python."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Short text for tables: layers x hidden, heads x head size, FFN width."""
        return f"{self.layers}x{self.hidden_size} a{self.heads}x{self.head_size} f{self.ffn_size}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Raises: InvalidArchitectureError on a missing, unknown or invalid field."""
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise InvalidArchitectureError(f"not an architecture: {error}") from error
