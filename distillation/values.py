"""Tasks, teachers, splits and metrics of distillation, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


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
    """Quality on the task; higher is better for each."""

    ACCURACY = "accuracy"
    MACRO_F1 = "macro_f1"
    MATTHEWS = "matthews"


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
    """Where labelled text comes from.

    `source` is `docstrings`, a local file (.csv, .tsv, .jsonl), a local folder with one train* file and dev*, valid* or
    test* files, or a hub id (`name`, `owner/name`, `name/configuration`, `owner/name/configuration`). `report` is a
    local file for the report split; where there is none, and `source` has none either, a tenth is held out.
    """

    source: str
    report: str | None = None

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("source names a data set, got ''")
        if self.report is not None and not self.report.strip():
            raise ValueError("report names a file, got ''")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the student learns to do: text, or a pair of texts, to one label.

    `text` and `label` name columns (a file without a header has columns "0", "1", ...). Left out, they are inferred
    where that is unambiguous.
    """

    dataset: Dataset
    text: tuple[str, ...] = ()
    label: str | None = None
    metric: Metric = Metric.ACCURACY

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", Metric(self.metric))
        if len(self.text) > 2:
            raise ValueError(f"text names one column, or two for pairs; got {list(self.text)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Where the teacher comes from: `built-in`, a local checkpoint folder, or a hub id.

    A checkpoint without a head for the task is fine-tuned first, by `epochs`, `batch_size` and `learning_rate`;
    the built-in teacher has settings of its own.
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
