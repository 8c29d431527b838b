"""Local files as tables of text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillation.errors import DataError

LONGEST_HEADER_CELL = 40

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """`place` says where the row is from, for messages."""

    place: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has one cell for each column. Without a header the columns are "0", "1", ..."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, key: str) -> Table:
    """A .csv (quoted as usual), .tsv (never quoted) or .jsonl file (an object a line), in UTF-8.

    Whether the first row is a header is decided by `is_header`.

    Args:
        key: of the study file, for messages.

    Raises:
        DataError: no such file, not of a known kind, no rows, or a row that is broken, with its line.
    """
    if not path.exists():
        raise DataError(f"{key}: there is no file {path}")
    if path.is_dir():
        raise DataError(f"{key}: {path} is a folder; name a .csv, .tsv or .jsonl file")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{key}: {path} is not one of {', '.join(READERS)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{key}: cannot read {path}: {error.strerror}") from error
    if (zero := text.find("\0")) >= 0:
        line = text.count("\n", 0, zero) + 1
        raise DataError(f"{path}, line {line}: a zero byte, as in UTF-16 and never in text; save the file as UTF-8")
    table = reader(path, text)
    if not table.rows:
        raise DataError(f"{key}: {path} has no rows")
    return table


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of tables that have the same columns.

    Raises:
        DataError: they have not.
    """
    first = tables[0]
    for table in tables[1:]:
        if table.columns != first.columns:
            raise DataError(
                f"{table.name} has the columns {', '.join(table.columns)}, but {first.name} has"
                f" {', '.join(first.columns)}"
            )
    name = " + ".join(table.name for table in tables)
    return Table(name, first.columns, tuple(row for table in tables for row in table.rows))


def is_header(first: Sequence[str], following: Sequence[Sequence[str]]) -> bool:
    """Whether a row names columns: its cells are short and words, and none comes again in its own column."""
    named = all(cell.strip() and len(cell) <= LONGEST_HEADER_CELL and not _is_number(cell) for cell in first)
    return named and not any(cells[index] == cell for cells in following for index, cell in enumerate(first))


def _read_csv(path: Path, text: str) -> Table:
    return _table(path, _csv_records(path, text))


def _read_tsv(path: Path, text: str) -> Table:
    lines = enumerate(text.split("\n"), start=1)
    records = ((number, line.removesuffix("\r").split("\t")) for number, line in lines)
    return _table(path, records)


def _read_jsonl(path: Path, text: str) -> Table:
    objects = [
        (f"{path}, line {number}", _object(line, f"{path}, line {number}"))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    columns = tuple(objects[0][1]) if objects else ()
    rows = []
    for place, values in objects:
        if set(values) != set(columns):
            different = ", ".join(sorted(set(values) ^ set(columns)))
            raise DataError(f"{place}: the keys differ from the first line's: {different}")
        rows.append(Row(place, tuple(_cell(values[column], column, place) for column in columns)))
    return Table(str(path), columns, tuple(rows))


READERS: dict[str, Callable[[Path, str], Table]] = {".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl}


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error
        yield reader.line_num, cells


def _table(path: Path, records: Iterator[tuple[int, list[str]]]) -> Table:
    rows: list[Row] = []
    for number, cells in records:
        if not any(cells):
            continue
        place = f"{path}, line {number}"
        if rows and len(cells) != len(rows[0].cells):
            raise DataError(f"{place}: {len(cells)} cells, but the first line has {len(rows[0].cells)}")
        rows.append(Row(place, tuple(cells)))
    if rows and is_header(rows[0].cells, [row.cells for row in rows[1:]]):
        _check_named_once(rows[0])
        return Table(str(path), tuple(cell.strip() for cell in rows[0].cells), tuple(rows[1:]))
    columns = tuple(str(index) for index in range(len(rows[0].cells))) if rows else ()
    return Table(str(path), columns, tuple(rows))


def _check_named_once(header: Row) -> None:
    names = [cell.strip() for cell in header.cells]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{header.place}: two columns are named {name!r}; give each a name of its own")


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error
    if not isinstance(values, dict) or not values:
        raise DataError(f"{place}: must be an object with at least one key")
    return values


def _cell(value: object, column: str, place: str) -> str:
    if not isinstance(value, str | int | float) or value != value:  # JSON as Python reads it has NaN
        raise DataError(f"{place}: {column} must be text or a number, got {value!r:.60}")
    text = str(value)
    if broken := _SURROGATE.search(text):  # JSON can write what UTF-8 cannot
        raise DataError(f"{place}: {column} holds half a character (\\u{ord(broken[0]):04x}); remove it")
    return text


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
