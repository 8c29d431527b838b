"""Tasks, teachers, splits and metrics of distillation, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from encoders.values import HeadKind


class Split(StrEnum):
    TRAIN = "train"
    SELECTION = "selection"
    """What strategies, checkpoints and early stopping may see."""
    REPORT = "report"
    """What is published, evaluated once, with its interval."""


class Fidelity(StrEnum):
    FLASH = "flash"
    FULL = "full"


class Metric(StrEnum):
    """Quality on the task."""

    ACCURACY = "accuracy"
    """The share of texts, of words, or of masked words that are told right."""
    F1 = "f1"
    """Of the second of two classes."""
    MACRO_F1 = "macro_f1"
    """The mean of every class' F1."""
    MATTHEWS = "matthews"
    PEARSON = "pearson"
    SPEARMAN = "spearman"
    ENTITY_F1 = "entity_f1"
    """Of entities found whole, with their type, in tags such as B-PER, I-PER, O."""
    EXACT_MATCH = "exact_match"
    """The share of answers that are one of the given ones, but for case, punctuation and articles."""
    ANSWER_F1 = "answer_f1"
    """The words that an answer shares with the likest of the given ones, as F1; the mean over questions."""
    PERPLEXITY = "perplexity"
    """Of masked words."""

    @property
    def lower_is_better(self) -> bool:
        return self is Metric.PERPLEXITY


METRICS_OF: Mapping[HeadKind, tuple[Metric, ...]] = {
    HeadKind.CLASSIFICATION: (Metric.ACCURACY, Metric.F1, Metric.MACRO_F1, Metric.MATTHEWS),
    HeadKind.REGRESSION: (Metric.PEARSON, Metric.SPEARMAN),
    HeadKind.TOKEN_CLASSIFICATION: (Metric.ENTITY_F1, Metric.ACCURACY),
    HeadKind.QUESTION_ANSWERING: (Metric.ANSWER_F1, Metric.EXACT_MATCH),
    HeadKind.MASKED_LM: (Metric.ACCURACY, Metric.PERPLEXITY),
}
"""The metrics that a kind of task has; the first is the one it takes unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric on a sample of `examples`, with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    examples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The metric on the selection split after so many steps."""

    step: int
    value: float


BUILT_IN = "built-in"
"""The teacher of a fixed shape that is trained from scratch on the task's own train split."""

DOCSTRINGS = "docstrings"
"""The embedded data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Where texts come from.

    `source` is `docstrings`, a local file (see `distillation.tables.ENDINGS`), a local folder with one train* file and
    dev*, valid* or test* files, or a hub id (`name`, `owner/name`, `name/configuration`, `owner/name/configuration`).
    `report` is a local file for the report split; where there is none, and `source` has none either, a tenth is held
    out.
    """

    source: str
    report: str | None = None

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("source names a data set, got ''")
        if self.report is not None and not self.report.strip():
            raise ValueError("report names a file, got ''")


TEXTS_OF: Mapping[HeadKind, tuple[int, ...]] = {
    HeadKind.CLASSIFICATION: (1, 2),
    HeadKind.REGRESSION: (1, 2),
    HeadKind.TOKEN_CLASSIFICATION: (1,),
    HeadKind.QUESTION_ANSWERING: (2,),
    HeadKind.MASKED_LM: (1,),
}
"""How many columns of text a kind of task may have; of a question and its context, the question is the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the student learns to do, from what, and how well it is judged.

    `text` and `label` name columns (a file without a header has columns "0", "1", ...). Left out, they are inferred
    where that is unambiguous. `metric` is the kind's first of `METRICS_OF` unless named. `transfer` are texts that need
    no labels: they stand beside the train split, and the teacher alone says what the student learns from them.

    Raises:
        ValueError: a metric or columns that this kind does not have; names those it has.
    """

    dataset: Dataset
    kind: HeadKind = HeadKind.CLASSIFICATION
    text: tuple[str, ...] = ()
    label: str | None = None
    metric: Metric = None  # type: ignore[assignment] # the kind's own, filled in below
    transfer: Dataset | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", HeadKind(self.kind))
        fitting = METRICS_OF[self.kind]
        object.__setattr__(self, "metric", fitting[0] if self.metric is None else Metric(self.metric))
        if self.metric not in fitting:
            raise ValueError(
                f"metric {self.metric} does not fit a task of {self.kind}; fitting are {', '.join(fitting)}"
            )
        counts = TEXTS_OF[self.kind]
        if self.text and len(self.text) not in counts:
            wanted = " or ".join(map(str, counts))
            raise ValueError(f"text names {wanted} columns of a task of {self.kind}; got {list(self.text)}")
        if self.label is not None and self.kind is HeadKind.MASKED_LM:
            raise ValueError(f"label names a column, but a task of {self.kind} has no labels; got {self.label!r}")
        if self.transfer is not None and self.transfer.report is not None:
            raise ValueError("transfer has no report split: nothing of it is held out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Where the teacher comes from: `built-in`, a local checkpoint folder, or a hub id.

    A checkpoint without a head for the task is fine-tuned on the labelled texts first, by `epochs`, `batch_size` and
    `learning_rate`; the built-in teacher has settings of its own.
    """

    model: str
    revision: str | None = None
    epochs: float = 2.0
    batch_size: int = 32
    learning_rate: float = 5e-5

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("model names a teacher, got ''")
        for name in ("epochs", "learning_rate"):
            require_positive(name, getattr(self, name))
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


def require_positive(name: str, value: float) -> None:
    """Raises: ValueError."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a number above 0, got {value}")
