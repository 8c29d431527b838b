"""Which columns of a table hold the text and the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from distillation.errors import DataError
from distillation.tables import Table

TEXT_NAMES = ("text", "sentence", "content", "review", "document", "question")
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
LABEL_NAMES = ("label", "labels", "class", "category", "target", "gold_label")

MOST_CLASSES = 100
"""A column with more different values is not taken for a label unasked."""
CLEARLY = 2.0
"""How many times longer than any other column a text is."""

_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Indices into the rows; two texts make a pair."""

    text: tuple[int, ...]
    label: int


def find_columns(table: Table, *, text: Sequence[str] = (), label: str | None = None) -> Columns:
    """The named columns; those not named are inferred, by their names first and then by what is in them.

    Raises:
        DataError: no such column, or more than one that it could be; names the key that decides.
    """
    texts = tuple(_named(table, name, "task.text") for name in text)
    if len(set(texts)) < len(texts):
        raise DataError(f"task.text: {text[0]!r} is named twice; a pair has two columns")
    labels = None if label is None else _named(table, label, "task.label")
    if not texts:
        texts = _texts_by_name(table) or (_text_by_content(table, labels),)
    if labels is None:
        labels = _label_by_name(table, texts)
    if labels is None:
        labels = _label_by_content(table, texts)
    if labels in texts:
        raise DataError(f"task.label: {table.columns[labels]!r} of {table.name} is the text")
    return Columns(texts, labels)


def _named(table: Table, name: str, key: str) -> int:
    if name not in table.columns:
        near = get_close_matches(name, table.columns, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise DataError(f"{key}: {table.name} has no column {name!r}{meant}; {_known(table)}")
    return table.columns.index(name)


def _texts_by_name(table: Table) -> tuple[int, ...]:
    at = {name.lower(): index for index, name in enumerate(table.columns)}
    pairs = [pair for pair in PAIR_NAMES if all(name in at for name in pair)]
    in_pairs = {name for pair in pairs for name in pair}
    found = [*pairs, *((name,) for name in TEXT_NAMES if name in at and name not in in_pairs)]
    if len(found) > 1:
        raise DataError(f"task.text: {table.name} has more than one text; name it; {_known(table)}")
    return tuple(at[name] for name in found[0]) if found else ()


def _text_by_content(table: Table, label: int | None) -> int:
    lengths = {
        index: sum(map(len, cells)) / len(cells)
        for index, cells in enumerate(_columns(table))
        if index != label and not all(_is_float(cell) for cell in cells)
    }
    longest = sorted(lengths, key=lambda index: -lengths[index])
    clear = len(longest) == 1 or (len(longest) > 1 and lengths[longest[0]] >= CLEARLY * lengths[longest[1]])
    if not clear:
        raise DataError(f"task.text: which column of {table.name} is the text is not clear; name it; {_known(table)}")
    return longest[0]


def _label_by_name(table: Table, texts: tuple[int, ...]) -> int | None:
    found = [index for index, name in enumerate(table.columns) if name.lower() in LABEL_NAMES and index not in texts]
    if len(found) > 1:
        raise DataError(f"task.label: {table.name} has more than one label; name it; {_known(table)}")
    return found[0] if found else None


def _label_by_content(table: Table, texts: tuple[int, ...]) -> int:
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
    raise DataError(f"task.label: which column of {table.name} is the label is not clear; name it; {_known(table)}")


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
