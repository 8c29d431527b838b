"""What stands on top of an encoder, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pooling(StrEnum):
    CLS = "cls"
    """The hidden state of the first token, through the encoder's pooler if it has one."""
    MEAN = "mean"
    """The mean hidden state of the tokens that are not padding."""


class HeadKind(StrEnum):
    CLASSIFICATION = "classification"
    """A class for each text."""
    REGRESSION = "regression"
    """A number for each text."""
    TOKEN_CLASSIFICATION = "token_classification"  # noqa: S105 (no password)
    """A class for each token."""
    QUESTION_ANSWERING = "question_answering"
    """Where in the text the answer begins and ends."""
    MASKED_LM = "masked_lm"
    """The words behind masked tokens."""


CLASSIFYING = (HeadKind.CLASSIFICATION, HeadKind.TOKEN_CLASSIFICATION)
POOLING = (HeadKind.CLASSIFICATION, HeadKind.REGRESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A task head: how hidden states become logits.

    `classes` belongs to classification of texts and tokens and is 0 for all else. `pooling` counts where there is one
    output for a text; elsewhere it is `mean`, so that equal heads are equal values.

    Raises:
        ValueError: an unknown kind or pooling, or classes that the kind cannot have.
    """

    kind: HeadKind = HeadKind.CLASSIFICATION
    classes: int = 0
    pooling: Pooling = Pooling.MEAN

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", HeadKind(self.kind))
        object.__setattr__(self, "pooling", Pooling(self.pooling) if self.kind in POOLING else Pooling.MEAN)
        if self.kind in CLASSIFYING and self.classes < 2:
            raise ValueError(f"classes must be at least 2, got {self.classes}")
        if self.kind not in CLASSIFYING and self.classes:
            raise ValueError(f"a head for {self.kind.value} has no classes, got {self.classes}")
