"""The three splits, as types that cannot be mistaken for each other.

Training takes a `TrainSplit`, checkpoints and learning curves a `SelectionSplit`. A `ReportSplit` fits neither, so that
choosing by what is published is an error of types, not of discipline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from distillation.values import Split

Texts = tuple[str, ...]
"""One text, or a pair."""

SELECTION_SHARE = 0.1
REPORT_SHARE = 0.1
MOST_SELECTION = 4000
"""More examples would cost every evaluation time and narrow its interval (+-1.5 points here) little."""


@dataclass(frozen=True, slots=True)
class Example:
    """`label` is the index of the class."""

    texts: Texts
    label: int


@dataclass(frozen=True, slots=True)
class TrainSplit:
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class SelectionSplit:
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class ReportSplit:
    examples: tuple[Example, ...]


AnySplit = TrainSplit | SelectionSplit | ReportSplit


@dataclass(frozen=True, slots=True)
class Splits:
    train: TrainSplit
    selection: SelectionSplit
    report: ReportSplit


def split_all(examples: Iterable[Example]) -> Splits:
    """About a tenth each to report and selection, the rest to train, by a hash of the text.

    An example's place depends on its text alone: neither on the order, nor on the machine, nor on what else there is
    (but for selection's, of which larger datasets give a smaller share).
    """
    examples = list(examples)
    selection_share = min(SELECTION_SHARE, MOST_SELECTION / max(1, len(examples)))
    parts: dict[Split, list[Example]] = {split: [] for split in Split}
    for example in examples:
        parts[_place(example.texts, REPORT_SHARE, selection_share)].append(example)
    return _splits(parts)


def split_train(examples: Iterable[Example], report: Iterable[Example]) -> Splits:
    """Takes selection out of train, where the dataset has a report split of its own.

    Texts that are in the report split as well stay out of both.
    """
    held_out = tuple(report)
    seen = {example.texts for example in held_out}
    kept = [example for example in examples if example.texts not in seen]
    selection_share = min(SELECTION_SHARE, MOST_SELECTION / max(1, len(kept)))
    parts: dict[Split, list[Example]] = {split: [] for split in Split}
    for example in kept:
        parts[_place(example.texts, 0.0, selection_share)].append(example)
    parts[Split.REPORT] = list(held_out)
    return _splits(parts)


def text_hash(texts: Texts) -> bytes:
    """Also the order of the examples within a split."""
    return hashlib.sha256("\x1f".join(texts).encode()).digest()


def _place(texts: Texts, report_share: float, selection_share: float) -> Split:
    # Not the hash that orders the texts: its leading bytes would not be spread evenly within a split.
    digest = hashlib.sha256(b"split\x1f" + "\x1f".join(texts).encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < report_share:
        return Split.REPORT
    return Split.SELECTION if point < report_share + selection_share else Split.TRAIN


def _splits(parts: dict[Split, list[Example]]) -> Splits:
    ordered = {
        split: tuple(sorted(examples, key=lambda example: (text_hash(example.texts), example.label)))
        for split, examples in parts.items()
    }
    return Splits(
        train=TrainSplit(ordered[Split.TRAIN]),
        selection=SelectionSplit(ordered[Split.SELECTION]),
        report=ReportSplit(ordered[Split.REPORT]),
    )
