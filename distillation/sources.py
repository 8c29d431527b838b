"""From a task to its examples: classes, texts and splits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from distillation.columns import Columns, find_columns
from distillation.docstrings import harvest
from distillation.errors import DataError
from distillation.formats import TEXT
from distillation.hub import read_hub
from distillation.labels import classes_of, examples_of, texts_of
from distillation.rows import Row, Table
from distillation.splits import (
    Example,
    Splits,
    by_context,
    by_texts,
    split_all,
    split_train,
    with_transfer,
)
from distillation.tables import NESTED, concatenate, endings, read_table
from distillation.values import DOCSTRINGS, Dataset, Metric, Task
from encoders.values import HeadKind

REPORT_FILES = ("dev*", "valid*", "test*")
"""Of a folder: the files of the first pattern that matches any. Published test sets often have no labels."""

IN_SPANS = re.compile(r"O|[BIES]-.+")
"""Tags that tell where an entity begins and ends."""

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A task's examples. `classes` names the labels in their order; `notes` say what a reader should know.

    `text` names the columns that the texts are from, where there were columns.
    """

    classes: tuple[str, ...]
    splits: Splits
    notes: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


def read_corpus(task: Task, announce: Announce) -> Corpus:
    """Reads and splits the task's dataset; `announce` hears what is being read.

    Raises:
        DataError: with the file and line, or the key of the study file, that is wrong.
    """
    if task.dataset.source == DOCSTRINGS:
        corpus = _docstrings(task, announce)
    else:
        announce(task.dataset.source)
        train, report = _tables(task)
        corpus = _labelled(train, report, task)
    for name in ("train", "selection", "report"):
        if not getattr(corpus.splits, name).examples:
            raise DataError(f"task.dataset: {task.dataset.source} has too few examples: none is left for {name}")
    _check_labels(corpus, task)
    return corpus if task.transfer is None else _with_transfer(corpus, task, task.transfer, announce)


def local_files(task: Task) -> tuple[Path, ...]:
    """The files that the dataset is read from; none for `docstrings` and hub ids.

    Raises:
        DataError: a file or folder that is not there, or a folder without a train file.
    """
    transfer = () if task.transfer is None else _files(task.transfer, task.kind, "task.transfer", is_labelled=False)
    return (*_files(task.dataset, task.kind, "task.dataset"), *transfer)


def _files(dataset: Dataset, kind: HeadKind, key: str, *, is_labelled: bool = True) -> tuple[Path, ...]:
    if dataset.source == DOCSTRINGS:
        return ()
    known = endings(kind, is_labelled=is_labelled)
    place = Path(dataset.source).expanduser()
    report = None if dataset.report is None else Path(dataset.report).expanduser()
    if place.is_dir():
        train = _train_file(place, key, known)
        return (train, *([report] if report else _report_files(place, known) if is_labelled else []))
    if place.is_file() or place.suffix.lower() in known or place.is_absolute():
        return (place, *([report] if report else []))
    return ()


def _docstrings(task: Task, announce: Announce) -> Corpus:
    if task.kind not in (HeadKind.CLASSIFICATION, HeadKind.MASKED_LM):
        raise DataError(f"task.dataset: {DOCSTRINGS} have no labels for a task of {task.kind}")
    found = harvest(on_package=lambda name: announce(f"docstrings of {name}"))
    notes = [f"not installed here, so left out: {', '.join(found.missing)}"] if found.missing else []
    if task.kind is HeadKind.MASKED_LM:
        unlabelled = [Example((text,), None) for text, _ in found.texts]
        return Corpus(classes=(), splits=split_all(unlabelled), notes=tuple(notes))
    classes = tuple(sorted({name for _, name in found.texts}))
    index = {name: label for label, name in enumerate(classes)}
    notes = ["class = package, whose own name is masked in its texts", *notes]
    examples = [Example((text,), index[name]) for text, name in found.texts]
    return Corpus(classes=classes, splits=split_all(examples), notes=tuple(notes))


def _tables(task: Task) -> tuple[Table, Table | None]:
    files = _files(task.dataset, task.kind, "task.dataset")
    if not files:
        if task.dataset.report is not None:
            raise DataError("task.dataset.report: only for local files; a hub dataset has its own")
        return read_hub(task.dataset.source, nested=task.kind in NESTED)
    train = read_table(files[0], "task.dataset", task.kind)
    key = "task.dataset.report" if task.dataset.report else "task.dataset"
    report = [read_table(path, key, task.kind) for path in files[1:]]
    return train, concatenate(report) if report else None


def _train_file(folder: Path, key: str, known: tuple[str, ...]) -> Path:
    found = _matching(folder, "train*", known)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        wanted = ", ".join(f"train{ending}" for ending in known)
        raise DataError(f"{key}: {folder} must hold one train file ({wanted}); found {names}")
    return found[0]


def _report_files(folder: Path, known: tuple[str, ...]) -> list[Path]:
    return next((found for pattern in REPORT_FILES if (found := _matching(folder, pattern, known))), [])


def _matching(folder: Path, pattern: str, known: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in known)


def _labelled(train: Table, report: Table | None, task: Task) -> Corpus:
    columns = find_columns(train, text=task.text, label=task.label, kind=task.kind)
    classes = classes_of(train, report, columns, task.kind)
    texts = [train.columns[index] for index in columns.text]
    label = None if columns.label is None else train.columns[columns.label]
    notes = [f"text: {', '.join(texts)}" + ("" if label is None else f"; label: {label}")]
    notes += [f"{task.metric} is of the class {classes[1]!r}"] if task.metric is Metric.F1 else []
    together = by_context if task.kind is HeadKind.QUESTION_ANSWERING else by_texts
    examples = _read(train, columns, task, classes, notes)
    if report is None:
        splits = split_all(examples, together)
        notes.append("the report split is a held-out tenth")
        return Corpus(classes=classes, splits=splits, notes=tuple(notes), text=tuple(texts))
    if report.columns != train.columns:
        columns = find_columns(report, text=texts, label=label, kind=task.kind)
    splits = split_train(examples, _read(report, columns, task, classes, notes), together)
    shared = len(examples) - len(splits.train.examples) - len(splits.selection.examples)
    if shared == len(examples):
        raise DataError(f"task.dataset: every example of {train.name} is in the report split, {report.name}, too")
    notes += [f"{shared} train examples are in the report split too: left out of train"] if shared else []
    return Corpus(classes=classes, splits=splits, notes=tuple(notes), text=tuple(texts))


def _read(table: Table, columns: Columns, task: Task, classes: tuple[str, ...], notes: list[str]) -> list[Example]:
    if task.kind is not HeadKind.MASKED_LM:
        return examples_of(table, columns, task.kind, classes)
    texts, empty = texts_of(table, columns, task.kind)
    notes += _left_out(table, empty)
    return [Example(each, None) for each in texts]


def _left_out(table: Table, empty: int) -> list[str]:
    return [f"{empty} empty texts of {table.name} were left out"] if empty else []


def _check_labels(corpus: Corpus, task: Task) -> None:
    """Raises: DataError: labels from which nothing can be learnt, or which the metric cannot judge."""
    source, labels = task.dataset.source, {example.label for example in corpus.splits.train.examples}
    if task.kind is HeadKind.CLASSIFICATION and len(labels) == 1:
        name = corpus.classes[next(label for label in labels if isinstance(label, int))]
        raise DataError(
            f"task.dataset: {source} has too few examples: all that are left for train are of class {name!r}"
        )
    if task.kind is HeadKind.REGRESSION and len(labels) == 1:
        raise DataError(f"task.label: every label that is left of {source} for train is {labels.pop()}")
    if task.metric is Metric.F1 and len(corpus.classes) != 2:
        raise DataError(
            f"task.metric: {task.metric} is of two classes, and {source} has {len(corpus.classes)};"
            f" take {Metric.MACRO_F1}"
        )
    foreign = [name for name in corpus.classes if not IN_SPANS.fullmatch(name)]
    if task.metric is Metric.ENTITY_F1 and foreign:
        raise DataError(
            f"task.metric: {task.metric} needs tags such as B-PER, I-PER and O, and {source} has"
            f" {', '.join(foreign[:5])}; take {Metric.ACCURACY}"
        )


def _with_transfer(corpus: Corpus, task: Task, transfer: Dataset, announce: Announce) -> Corpus:
    announce(transfer.source)
    table = _transfer_table(task, transfer, announce)
    columns = _transfer_columns(table, corpus, task)
    texts, empty = texts_of(table, columns, task.kind)
    together = by_context if task.kind is HeadKind.QUESTION_ANSWERING else by_texts
    splits = with_transfer(corpus.splits, texts, together)
    added = len(splits.train.examples) - len(corpus.splits.train.examples)
    if not added:
        raise DataError(f"task.transfer: {table.name} has no text that is not in the task's dataset already")
    notes = [
        f"transfer: {added} unlabelled texts of {table.name} stand in train beside {len(splits.train.examples) - added}"
    ]
    if left_out := len(texts) - added:
        notes.append(f"transfer: {left_out} texts come twice or are in another split: left out")
    return replace(corpus, splits=splits, notes=(*corpus.notes, *notes, *_left_out(table, empty)))


def _transfer_table(task: Task, transfer: Dataset, announce: Announce) -> Table:
    if transfer.source == DOCSTRINGS:
        found = harvest(on_package=lambda name: announce(f"docstrings of {name}"))
        rows = tuple(Row(f"{DOCSTRINGS}, number {at}", (text,)) for at, (text, _) in enumerate(found.texts))
        return Table(DOCSTRINGS, (TEXT,), rows)
    files = _files(transfer, task.kind, "task.transfer", is_labelled=False)
    if not files:
        return read_hub(transfer.source, "task.transfer", nested=task.kind in NESTED)[0]
    return read_table(files[0], "task.transfer", task.kind, is_labelled=False)


def _transfer_columns(table: Table, corpus: Corpus, task: Task) -> Columns:
    """The columns of the train table where there are such; one column alone is the text."""
    if len(table.columns) == 1:
        columns = Columns((0,), None)
    else:
        named = corpus.text if set(corpus.text) <= set(table.columns) else ()
        columns = find_columns(table, text=named, kind=task.kind, is_labelled=False, key="task.transfer")
    wanted = 1 if task.kind is HeadKind.TOKEN_CLASSIFICATION else len(corpus.splits.train.examples[0].texts)
    if len(columns.text) != wanted:
        raise DataError(
            f"task.transfer: {table.name} gives {len(columns.text)} texts a row, but the task's dataset {wanted}"
        )
    return columns
