"""A table of text: what every kind of file becomes before its columns have a meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from distillation.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """`place` says where the row is from, for messages. A list or a mapping is a cell of JSON."""

    place: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has one cell for each column. Without a header the columns are "0", "1", ...

    `empty` lines were left out.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: int = 0


def table_of(name: str, objects: Iterable[tuple[str, Mapping[str, Any]]], *, nested: bool) -> Table:
    """A table of mappings, each with its place; `nested` cells may be lists or mappings.

    Raises:
        DataError: keys that differ, or a value that no cell can be.
    """
    columns: tuple[str, ...] = ()
    rows = []
    for place, values in objects:
        columns = columns or tuple(values)
        if set(values) != set(columns):
            different = ", ".join(sorted(set(values) ^ set(columns)))
            raise DataError(f"{place}: the keys differ from the first line's: {different}")
        rows.append(Row(place, tuple(cell(values[column], column, place, nested=nested) for column in columns)))
    return Table(name, columns, tuple(rows))


def cell(value: object, column: str, place: str, *, nested: bool) -> str:
    """A value of JSON as text.

    Raises:
        DataError: it cannot be one, or not one of UTF-8.
    """
    if nested and isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, str | int | float) and value == value:  # JSON as Python reads it has NaN
        text = str(value)
    else:
        raise DataError(f"{place}: {column} must be text or a number, got {value!r:.60}")
    if broken := _SURROGATE.search(text):  # JSON can write what UTF-8 cannot
        raise DataError(f"{place}: {column} holds half a character (\\u{ord(broken[0]):04x}); remove it")
    return text
