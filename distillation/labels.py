"""From the rows of a table to examples, for each kind of task."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

from distillation.columns import Columns
from distillation.errors import DataError
from distillation.formats import ANSWERS
from distillation.rows import Row, Table
from distillation.splits import Answer, Example, Label, Texts
from encoders.values import HeadKind


def classes_of(train: Table, report: Table | None, columns: Columns, kind: HeadKind) -> tuple[str, ...]:
    """The names of classes or tags in their order, which is that of numbers where they are numbers.

    A rare tag may be in no train text by chance; the tags of both tables are known.

    Raises:
        DataError: a label that no class can be, or a row that is broken.
    """
    if kind is HeadKind.CLASSIFICATION:
        values = {_label_cell(row, columns) for row in train.rows}
        if len(values) < 2 or len(values) > max(2, len(train.rows) / 2):
            raise DataError(
                f"task.label: {_column(train, columns)} has {len(values)} different values in {len(train.rows)} rows; a"
                " class label has at least two, and far fewer than rows"
            )
        return _ordered(values)
    if kind is HeadKind.TOKEN_CLASSIFICATION:
        rows = [*train.rows, *(report.rows if report else ())]
        tags = {tag for row in rows for tag in _strings(_label_cell(row, columns), "tags", row)}
        if len(tags) < 2:
            raise DataError(f"task.label: {_column(train, columns)} has {len(tags)} different tags; there must be two")
        return _ordered(tags)
    return ()


def examples_of(table: Table, columns: Columns, kind: HeadKind, classes: Sequence[str]) -> list[Example]:
    """Every row as an example.

    Raises:
        DataError: a row without a text or a label, or with one that is broken; names its place.
    """
    index = {name: label for label, name in enumerate(classes)}
    examples = []
    for row in table.rows:
        texts = _texts(row, columns, kind)
        if not all(text.strip() for text in texts):
            raise DataError(f"{row.place}: the text is empty")
        examples.append(Example(texts, _label(row, columns, kind, texts, index)))
    return examples


def texts_of(table: Table, columns: Columns, kind: HeadKind) -> tuple[list[Texts], int]:
    """The texts of rows whose labels do not count, and how many were empty.

    Raises:
        DataError: a list of words that is broken; names its place.
    """
    if kind is HeadKind.TOKEN_CLASSIFICATION and not table.rows[0].cells[columns.text[0]].startswith("["):
        found = [tuple(row.cells[columns.text[0]].split()) for row in table.rows]
    else:
        found = [_texts(row, columns, kind) for row in table.rows]
    kept = [texts for texts in found if texts and all(text.strip() for text in texts)]
    return kept, table.empty + len(found) - len(kept)


def _texts(row: Row, columns: Columns, kind: HeadKind) -> Texts:
    cells = [row.cells[column] for column in columns.text]
    if kind is HeadKind.TOKEN_CLASSIFICATION:
        return tuple(_strings(cells[0], "words", row))
    if kind is HeadKind.QUESTION_ANSWERING:  # where an answer begins is counted in the context as it stands
        return cells[0].strip(), cells[1]
    return tuple(cell.strip() for cell in cells)


def _label(row: Row, columns: Columns, kind: HeadKind, texts: Texts, index: Mapping[str, int]) -> Label:
    match kind:
        case HeadKind.CLASSIFICATION:
            return _known(_label_cell(row, columns), index, row)
        case HeadKind.REGRESSION:
            return _number(_label_cell(row, columns), row)
        case HeadKind.TOKEN_CLASSIFICATION:
            tags = _strings(_label_cell(row, columns), "tags", row)
            if len(tags) != len(texts):
                raise DataError(f"{row.place}: {len(texts)} words, but {len(tags)} tags")
            return tuple(_known(tag, index, row) for tag in tags)
        case HeadKind.QUESTION_ANSWERING:
            return _answers(_label_cell(row, columns), texts[1], row)
        case HeadKind.MASKED_LM:
            return None
        case _:
            assert_never(kind)


def _label_cell(row: Row, columns: Columns) -> str:
    label = "" if columns.label is None else row.cells[columns.label].strip()
    if not label:
        raise DataError(f"{row.place}: there is no label")
    return label


def _known(label: str, index: Mapping[str, int], row: Row) -> int:
    if label not in index:
        raise DataError(f"{row.place}: the label {label!r} is not in the train split")
    return index[label]


def _number(label: str, row: Row) -> float:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{row.place}: the label {label[:60]!r} is not a finite number")
    return value


def _strings(cell: str, role: str, row: Row) -> list[str]:
    values = _json(cell, role, row)
    if not isinstance(values, list) or not values:
        raise DataError(f"{row.place}: the {role} must be a list with at least one entry, got {cell[:60]!r}")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str | int) or not str(value).strip():
            raise DataError(f"{row.place}: number {number} of the {role} is no word: {value!r:.60}")
    return [str(value) for value in values]


def _answers(cell: str, context: str, row: Row) -> tuple[Answer, ...]:
    """As SQuAD has them, a list of objects, or as the hub has them, an object of lists."""
    values = _json(cell, ANSWERS, row)
    try:
        if isinstance(values, dict):
            pairs = list(zip(values["text"], values["answer_start"], strict=True))
        else:
            pairs = [(value["text"], value["answer_start"]) for value in values]
        answers = tuple(Answer(str(text), int(start)) for text, start in pairs)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{row.place}: the answers must be a list of objects with 'text' and 'answer_start', got {cell[:60]!r}"
        ) from error
    for answer in answers:
        if answer.start < 0 or not answer.text or not context.startswith(answer.text, answer.start):
            raise DataError(
                f"{row.place}: the answer {answer.text!r:.60} is not at character {answer.start} of the context"
            )
    return answers


def _json(cell: str, role: str, row: Row) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{row.place}: the {role} must be a list, got {cell[:60]!r}") from error


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(names, key=lambda value: (int(value), value)))
    except ValueError:
        return tuple(sorted(names))


def _column(table: Table, columns: Columns) -> str:
    return f"column {table.columns[columns.label or 0]!r} of {table.name}"
