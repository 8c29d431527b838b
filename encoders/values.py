"""What stands on top of an encoder, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pooling(StrEnum):
    CLS = "cls"
    """The hidden state of the first token."""
    MEAN = "mean"
    """The mean hidden state of the tokens that are not padding."""


class HeadKind(StrEnum):
    CLASSIFICATION = "classification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A task head: how hidden states become logits."""

    kind: HeadKind = HeadKind.CLASSIFICATION
    classes: int
    pooling: Pooling = Pooling.MEAN

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", HeadKind(self.kind))
        object.__setattr__(self, "pooling", Pooling(self.pooling))
        if self.classes < 2:
            raise ValueError(f"classes must be at least 2, got {self.classes}")
