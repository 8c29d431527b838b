"""From a task to its examples: classes, texts and splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distillation.columns import Columns, find_columns
from distillation.docstrings import harvest
from distillation.errors import DataError
from distillation.hub import read_hub
from distillation.splits import Example, Splits, split_all, split_train
from distillation.tables import READERS, Table, concatenate, read_table
from distillation.values import DOCSTRINGS, Task

REPORT_FILES = ("dev*", "valid*", "test*")
"""Of a folder: the files of the first pattern that matches any. Published test sets often have no labels."""

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A task's examples. `classes` names the labels in their order; `notes` say what a reader should know."""

    classes: tuple[str, ...]
    splits: Splits
    notes: tuple[str, ...] = ()


def read_corpus(task: Task, announce: Announce) -> Corpus:
    """Reads and splits the task's dataset; `announce` hears what is being read.

    Raises:
        DataError: with the file and line, or the key of the study file, that is wrong.
    """
    if task.dataset.source == DOCSTRINGS:
        corpus = _docstrings(announce)
    else:
        announce(task.dataset.source)
        train, report = _tables(task)
        corpus = _labelled(train, report, task)
    for name in ("train", "selection", "report"):
        if not getattr(corpus.splits, name).examples:
            raise DataError(f"task.dataset: {task.dataset.source} has too few examples: none is left for {name}")
    labels = {example.label for example in corpus.splits.train.examples}
    if len(labels) == 1:
        raise DataError(
            f"task.dataset: {task.dataset.source} has too few examples: all that are left for train are of class"
            f" {corpus.classes[labels.pop()]!r}"
        )
    return corpus


def local_files(task: Task) -> tuple[Path, ...]:
    """The files that the dataset is read from; none for `docstrings` and hub ids.

    Raises:
        DataError: a file or folder that is not there, or a folder without a train file.
    """
    if task.dataset.source == DOCSTRINGS:
        return ()
    place = Path(task.dataset.source).expanduser()
    report = None if task.dataset.report is None else Path(task.dataset.report).expanduser()
    if place.is_dir():
        return (_train_file(place), *([report] if report else _report_files(place)))
    if place.is_file() or place.suffix.lower() in READERS or place.is_absolute():
        return (place, *([report] if report else []))
    return ()


def _docstrings(announce: Announce) -> Corpus:
    found = harvest(on_package=lambda name: announce(f"docstrings of {name}"))
    classes = tuple(sorted({name for _, name in found.texts}))
    index = {name: label for label, name in enumerate(classes)}
    notes = ["class = package, whose own name is masked in its texts"]
    if found.missing:
        notes.append(f"not installed here, so left out: {', '.join(found.missing)}")
    examples = [Example((text,), index[name]) for text, name in found.texts]
    return Corpus(classes=classes, splits=split_all(examples), notes=tuple(notes))


def _tables(task: Task) -> tuple[Table, Table | None]:
    files = local_files(task)
    if not files:
        if task.dataset.report is not None:
            raise DataError("task.dataset.report: only for local files; a hub dataset has its own")
        return read_hub(task.dataset.source)
    train = read_table(files[0], "task.dataset")
    key = "task.dataset.report" if task.dataset.report else "task.dataset"
    report = [read_table(path, key) for path in files[1:]]
    return train, concatenate(report) if report else None


def _train_file(folder: Path) -> Path:
    found = _matching(folder, "train*")
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"task.dataset: {folder} must hold one train file ({', '.join('train' + kind for kind in READERS)});"
            f" found {names}"
        )
    return found[0]


def _report_files(folder: Path) -> list[Path]:
    return next((found for pattern in REPORT_FILES if (found := _matching(folder, pattern))), [])


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in READERS)


def _labelled(train: Table, report: Table | None, task: Task) -> Corpus:
    columns = find_columns(train, text=task.text, label=task.label)
    classes = _classes(train, columns)
    examples = _examples(train, columns, classes)
    chosen = f"text: {', '.join(train.columns[index] for index in columns.text)}; label: {train.columns[columns.label]}"
    if report is None:
        return Corpus(
            classes=classes, splits=split_all(examples), notes=(chosen, "the report split is a held-out tenth")
        )
    if report.columns != train.columns:
        columns = find_columns(
            report,
            text=[train.columns[index] for index in columns.text],
            label=train.columns[columns.label],
        )
    splits = split_train(examples, _examples(report, columns, classes))
    shared = len(examples) - len(splits.train.examples) - len(splits.selection.examples)
    if shared == len(examples):
        raise DataError(f"task.dataset: every example of {train.name} is in the report split, {report.name}, too")
    notes = [chosen] + ([f"{shared} train examples are in the report split too: left out of train"] if shared else [])
    return Corpus(classes=classes, splits=splits, notes=tuple(notes))


def _classes(table: Table, columns: Columns) -> tuple[str, ...]:
    values = {row.cells[columns.label].strip() for row in table.rows}
    if len(values) < 2 or len(values) > max(2, len(table.rows) / 2):
        raise DataError(
            f"task.label: column {table.columns[columns.label]!r} of {table.name} has {len(values)} different values in"
            f" {len(table.rows)} rows; a class label has at least two, and far fewer than rows"
        )
    try:
        return tuple(sorted(values, key=lambda value: (int(value), value)))
    except ValueError:
        return tuple(sorted(values))


def _examples(table: Table, columns: Columns, classes: Sequence[str]) -> list[Example]:
    index = {name: label for label, name in enumerate(classes)}
    examples = []
    for row in table.rows:
        texts = tuple(row.cells[column].strip() for column in columns.text)
        label = row.cells[columns.label].strip()
        if not all(texts):
            raise DataError(f"{row.place}: the text is empty")
        if not label:
            raise DataError(f"{row.place}: there is no label")
        if label not in index:
            raise DataError(f"{row.place}: the label {label!r} is not in the train split")
        examples.append(Example(texts, index[label]))
    return examples
