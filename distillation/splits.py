"""The three splits, as types that cannot be mistaken for each other.

Training takes a `TrainSplit`, checkpoints and learning curves a `SelectionSplit`. A `ReportSplit` fits neither, so that
choosing by what is published is an error of types, not of discipline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from distillation.values import Split

Texts = tuple[str, ...]
"""One text, or a pair; a question and its context; the words of a text whose words have labels."""

SELECTION_SHARE = 0.1
REPORT_SHARE = 0.1
MOST_SELECTION = 4000
"""More examples would cost every evaluation time and narrow its interval (+-1.5 points here) little."""


class Answer(NamedTuple):
    """A passage of a context, and the character at which it begins."""

    text: str
    start: int


Label = int | float | tuple[int, ...] | tuple[Answer, ...] | None


@dataclass(frozen=True, slots=True)
class Example:
    """`label` is the index of the class, the value, the index of each word's tag, or the answers, any of which is right
    and of which there may be none; None where there is no label.
    """

    texts: Texts
    label: Label

    @property
    def tags(self) -> tuple[int, ...]:
        """The label of a text whose words have labels."""
        return cast(tuple[int, ...], self.label)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The label of a question."""
        return cast(tuple[Answer, ...], self.label)


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


Together = Callable[[Example], Texts]
"""What of an example decides its place: those that share it are not parted."""


def by_texts(example: Example) -> Texts:
    return example.texts


def by_context(example: Example) -> Texts:
    """The context of a question: its other questions tell much of it."""
    return example.texts[-1:]


def split_all(examples: Iterable[Example], together: Together = by_texts) -> Splits:
    """About a tenth each to report and selection, the rest to train, by a hash of the text.

    An example's place depends on its text alone: neither on the order, nor on the machine, nor on what else there is
    (but for selection's, of which larger datasets give a smaller share).
    """
    examples = list(examples)
    selection_share = min(SELECTION_SHARE, MOST_SELECTION / max(1, len(examples)))
    parts: dict[Split, list[Example]] = {split: [] for split in Split}
    for example in examples:
        parts[_place(together(example), REPORT_SHARE, selection_share)].append(example)
    return _splits(parts)


def split_train(examples: Iterable[Example], report: Iterable[Example], together: Together = by_texts) -> Splits:
    """Takes selection out of train, where the dataset has a report split of its own.

    What is in the report split as well stays out of both.
    """
    held_out = tuple(report)
    seen = {together(example) for example in held_out}
    kept = [example for example in examples if together(example) not in seen]
    selection_share = min(SELECTION_SHARE, MOST_SELECTION / max(1, len(kept)))
    parts: dict[Split, list[Example]] = {split: [] for split in Split}
    for example in kept:
        parts[_place(together(example), 0.0, selection_share)].append(example)
    parts[Split.REPORT] = list(held_out)
    return _splits(parts)


def with_transfer(splits: Splits, texts: Iterable[Texts], together: Together = by_texts) -> Splits:
    """These texts, unlabelled, beside the labelled ones in train; none twice, and none that is in another split."""
    held_out = {together(each) for split in (splits.selection, splits.report) for each in split.examples}
    unlabelled = [Example(each, None) for each in dict.fromkeys(texts)]
    kept = [example for example in unlabelled if together(example) not in held_out]
    known = {example.texts for example in splits.train.examples}
    train = [*splits.train.examples, *(example for example in kept if example.texts not in known)]
    return Splits(train=TrainSplit(_ordered(train)), selection=splits.selection, report=splits.report)


def labelled(split: TrainSplit) -> TrainSplit:
    """Without the texts that only a teacher can label."""
    return TrainSplit(tuple(example for example in split.examples if example.label is not None))


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
    ordered = {split: _ordered(examples) for split, examples in parts.items()}
    return Splits(
        train=TrainSplit(ordered[Split.TRAIN]),
        selection=SelectionSplit(ordered[Split.SELECTION]),
        report=ReportSplit(ordered[Split.REPORT]),
    )


def _ordered(examples: Iterable[Example]) -> tuple[Example, ...]:
    def place(example: Example) -> tuple[bytes, bool, Any]:
        # Labels are of one kind, but for the texts without any.
        return text_hash(example.texts), example.label is not None, 0 if example.label is None else example.label

    return tuple(sorted(examples, key=place))
