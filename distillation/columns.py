"""Which columns of a table hold the text and the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import assert_never

from distillation.errors import DataError
from distillation.formats import ANSWERS, CONTEXT, QUESTION
from distillation.rows import Table
from encoders.values import HeadKind

TEXT_NAMES = ("text", "sentence", "content", "review", "document", "question")
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
WORDS_NAMES = ("tokens", "words", "text", "sentence")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "gold_label")
VALUE_NAMES = ("label", "labels", "score", "similarity", "rating", "value", "target")
TAGS_NAMES = ("ner_tags", "tags", "labels", "label", "ner")

MOST_CLASSES = 100
"""A column with more different values is not taken for a label unasked."""
CLEARLY = 2.0
"""How many times longer than any other column a text is."""

_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Indices into the rows; two texts make a pair, or a question and its context. `label` is None where none is."""

    text: tuple[int, ...]
    label: int | None


def find_columns(
    table: Table,
    *,
    text: Sequence[str] = (),
    label: str | None = None,
    kind: HeadKind = HeadKind.CLASSIFICATION,
    is_labelled: bool = True,
    key: str = "task",
) -> Columns:
    """The named columns; those not named are inferred, by their names first and then by what is in them.

    Args:
        is_labelled: whether there must be a label, if the kind has any.
        key: of the study file, for messages.

    Raises:
        DataError: no such column, or more than one that it could be; names the key that decides.
    """
    texts = tuple(_named(table, name, f"{key}.text") for name in text)
    if len(set(texts)) < len(texts):
        raise DataError(f"{key}.text: {text[0]!r} is named twice; two texts have two columns")
    has_label = is_labelled and kind is not HeadKind.MASKED_LM
    labels = _named(table, label, f"{key}.label") if has_label and label is not None else None
    texts = texts or _texts(table, kind, labels, key)
    if has_label and labels is None:
        labels = _label(table, kind, texts, key)
    if labels is not None and labels in texts:
        raise DataError(f"{key}.label: {table.columns[labels]!r} of {table.name} is the text")
    return Columns(texts, labels)


def _texts(table: Table, kind: HeadKind, label: int | None, key: str) -> tuple[int, ...]:
    match kind:
        case HeadKind.CLASSIFICATION | HeadKind.REGRESSION:
            return _texts_by_name(table, PAIR_NAMES, key) or (_text_by_content(table, label, key),)
        case HeadKind.MASKED_LM:
            return _texts_by_name(table, (), key) or (_text_by_content(table, label, key),)
        case HeadKind.TOKEN_CLASSIFICATION:
            return (_words(table, label, key),)
        case HeadKind.QUESTION_ANSWERING:
            at = {name.lower(): index for index, name in enumerate(table.columns)}
            if QUESTION in at and CONTEXT in at:
                return at[QUESTION], at[CONTEXT]
            raise DataError(
                f"{key}.text: {table.name} has no columns {QUESTION!r} and {CONTEXT!r}; name the question's and the"
                f" context's; {_known(table)}"
            )
        case _:
            assert_never(kind)


def _label(table: Table, kind: HeadKind, texts: tuple[int, ...], key: str) -> int:
    match kind:
        case HeadKind.CLASSIFICATION:
            found = _label_by_name(table, LABEL_NAMES, texts, key)
            return _label_by_content(table, texts, key) if found is None else found
        case HeadKind.REGRESSION:
            found = _label_by_name(table, VALUE_NAMES, texts, key)
            return _value_by_content(table, texts, key) if found is None else found
        case HeadKind.TOKEN_CLASSIFICATION:
            found = _label_by_name(table, TAGS_NAMES, texts, key)
            return _tags_by_content(table, texts, key) if found is None else found
        case HeadKind.QUESTION_ANSWERING:
            found = _label_by_name(table, (ANSWERS,), texts, key)
            if found is None:
                raise DataError(f"{key}.label: {table.name} has no column {ANSWERS!r}; name it; {_known(table)}")
            return found
        case HeadKind.MASKED_LM:
            raise DataError(f"{key}.label: a task of {kind} has no labels")
        case _:
            assert_never(kind)


def _named(table: Table, name: str, key: str) -> int:
    if name not in table.columns:
        near = get_close_matches(name, table.columns, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise DataError(f"{key}: {table.name} has no column {name!r}{meant}; {_known(table)}")
    return table.columns.index(name)


def _texts_by_name(table: Table, known: Sequence[tuple[str, str]], key: str) -> tuple[int, ...]:
    at = {name.lower(): index for index, name in enumerate(table.columns)}
    pairs = [pair for pair in known if all(name in at for name in pair)]
    in_pairs = {name for pair in pairs for name in pair}
    found = [*pairs, *((name,) for name in TEXT_NAMES if name in at and name not in in_pairs)]
    if len(found) > 1:
        raise DataError(f"{key}.text: {table.name} has more than one text; name it; {_known(table)}")
    return tuple(at[name] for name in found[0]) if found else ()


def _text_by_content(table: Table, label: int | None, key: str) -> int:
    lengths = {
        index: sum(map(len, cells)) / len(cells)
        for index, cells in enumerate(_columns(table))
        if index != label and not all(_is_float(cell) for cell in cells)
    }
    longest = sorted(lengths, key=lambda index: -lengths[index])
    clear = len(longest) == 1 or (len(longest) > 1 and lengths[longest[0]] >= CLEARLY * lengths[longest[1]])
    if not clear:
        raise _unclear(table, "text", key)
    return longest[0]


def _label_by_name(table: Table, names: Sequence[str], texts: tuple[int, ...], key: str) -> int | None:
    found = [index for index, name in enumerate(table.columns) if name.lower() in names and index not in texts]
    if len(found) > 1:
        raise DataError(f"{key}.label: {table.name} has more than one label; name it; {_known(table)}")
    return found[0] if found else None


def _label_by_content(table: Table, texts: tuple[int, ...], key: str) -> int:
    few = {
        index: values
        for index, cells in enumerate(_columns(table))
        if index not in texts and 2 <= len(values := set(cells)) <= min(MOST_CLASSES, len(cells) / 2)
    }
    integers = [index for index, values in few.items() if all(map(_INTEGER.fullmatch, values))]
    complete = [index for index, values in few.items() if all(value.strip() for value in values)]
    for candidates in (integers, complete):
        if len(candidates) == 1:
            return candidates[0]
    raise _unclear(table, "label", key)


def _value_by_content(table: Table, texts: tuple[int, ...], key: str) -> int:
    numbers = [
        index
        for index, cells in enumerate(_columns(table))
        if index not in texts and all(cell and _is_float(cell) for cell in cells)
    ]
    if len(numbers) != 1:
        raise _unclear(table, "label", key)
    return numbers[0]


def _words(table: Table, label: int | None, key: str) -> int:
    lists = [index for index in _lists(table) if index != label]
    named = [index for index in lists if table.columns[index].lower() in WORDS_NAMES]
    if len(named) == 1:
        return named[0]
    # Columns of words have numbers for names, and the word comes first.
    if not lists or (len(lists) > 1 and not all(name.isdigit() for name in table.columns)):
        raise _unclear(table, "words", key)
    return lists[0]


def _tags_by_content(table: Table, texts: tuple[int, ...], key: str) -> int:
    lists = [index for index in _lists(table) if index not in texts]
    if not lists or (len(lists) > 1 and not all(name.isdigit() for name in table.columns)):
        raise _unclear(table, "label", key)
    return lists[-1]


def _lists(table: Table) -> list[int]:
    """Columns that begin with a list: a later cell that is none is a broken row."""
    return [index for index, cell in enumerate(table.rows[0].cells) if cell.startswith("[")]


def _unclear(table: Table, role: str, key: str) -> DataError:
    place = "label" if role == "label" else "text"
    return DataError(
        f"{key}.{place}: which column of {table.name} is the {role} is not clear; name it; {_known(table)}"
    )


def _columns(table: Table) -> list[tuple[str, ...]]:
    return list(zip(*(row.cells for row in table.rows), strict=True))


def _is_float(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def _known(table: Table) -> str:
    known = f"the columns are {', '.join(table.columns)}"
    only = table.rows[0].cells[0] if len(table.columns) == 1 else ""
    return f"{known}; its cells seem to be separated by ';' instead of ','" if ";" in only else known
