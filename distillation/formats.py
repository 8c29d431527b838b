"""Local files that are more, or less, than rows of cells: JSON, Parquet, columns of words, and plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillation.errors import DataError
from distillation.rows import Row, Table, table_of

TEXT = "text"
"""The column of a file of plain text."""

QUESTION, CONTEXT, ANSWERS = "question", "context", "answers"
"""The columns of a file of the SQuAD layout."""

DOCUMENT_START = "-DOCSTART-"

_SEPARATED = re.compile(r"[^ \t\r]+")
"""Not other white space: a word may hold a space that does not break."""


def read_lines(path: Path, text: str) -> Table:
    """One text a line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    rows = tuple(Row(f"{path}, line {number}", (line,)) for number, line in lines if line)
    # The last line ends with a line break, after which there is no further one.
    return Table(str(path), (TEXT,), rows, empty=len(lines) - len(rows) - (0 if lines[-1][1] else 1))


def read_words(path: Path, text: str) -> Table:
    """A word and its tags a line, separated by spaces or tabs; an empty line ends a text.

    Each column of a text is one cell, a list of JSON.

    Raises:
        DataError: a line with more or fewer columns than the first.
    """
    rows: list[Row] = []
    columns: tuple[str, ...] = ()
    lines: list[list[str]] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        parts = _SEPARATED.findall(line)
        if parts and parts[0] != DOCUMENT_START:
            columns = columns or tuple(map(str, range(len(parts))))
            if len(parts) != len(columns):
                raise DataError(f"{path}, line {number}: {len(parts)} columns, but the first line has {len(columns)}")
            first = first if lines else number
            lines.append(parts)
        elif lines:
            cells = (json.dumps(column, ensure_ascii=False) for column in zip(*lines, strict=True))
            rows.append(Row(f"{path}, line {first}", tuple(cells)))
            lines = []
    return Table(str(path), columns, tuple(rows))


def read_json(path: Path, text: str, *, nested: bool) -> Table:
    """A list of objects, which may stand below `data`, or questions in the layout of SQuAD.

    Raises:
        DataError: not JSON, or of another layout.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    entries = values.get("data") if isinstance(values, dict) else values
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry for entry in entries):
        raise DataError(f"{path}: must be a list of objects, or an object with one below 'data'")
    if entries and all("paragraphs" in entry for entry in entries):
        return table_of(str(path), _questions(path, entries), nested=True)
    places = ((f"{path}, entry {number}", entry) for number, entry in enumerate(entries, start=1))
    return table_of(str(path), places, nested=nested)


def read_parquet(path: Path, *, nested: bool) -> Table:
    """The columns of text, numbers and, if `nested`, of lists and mappings; a missing value is an empty cell.

    Raises:
        DataError: not Parquet, or without such columns.
    """
    import pyarrow  # type: ignore[import-untyped] # a tenth of a second, for those who need it
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not Parquet: {(str(error).splitlines() or [''])[0]}") from error
    kinds = pyarrow.types
    tests = [kinds.is_string, kinds.is_large_string, kinds.is_boolean, kinds.is_integer, kinds.is_floating]
    tests += [kinds.is_list, kinds.is_large_list, kinds.is_struct] if nested else []
    table = table.select([field.name for field in table.schema if any(test(field.type) for test in tests)])
    if not table.column_names:
        raise DataError(f"{path}: has no column of text or numbers")
    rows = ({name: "" if value is None else value for name, value in values.items()} for values in table.to_pylist())
    return table_of(str(path), ((f"{path}, row {number}", row) for number, row in enumerate(rows)), nested=nested)


def _questions(path: Path, entries: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, entry in enumerate(entries, start=1):
        try:
            for paragraph in entry["paragraphs"]:
                for asked in paragraph["qas"]:
                    place = f"{path}, question {asked.get('id', repr(asked[QUESTION]))}"
                    answers = asked.get(ANSWERS, [])
                    yield place, {QUESTION: asked[QUESTION], CONTEXT: paragraph[CONTEXT], ANSWERS: answers}
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, entry {at}: not of the layout of SQuAD: {error!r}") from error
