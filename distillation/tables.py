"""Local files as tables of text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distillation.errors import DataError
from distillation.formats import read_json, read_lines, read_parquet, read_words
from distillation.rows import Row, Table, table_of
from encoders.values import HeadKind

LONGEST_HEADER_CELL = 40

NESTED = (HeadKind.TOKEN_CLASSIFICATION, HeadKind.QUESTION_ANSWERING)
"""Kinds of task whose cells may be lists."""

TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
PLAIN, WORDS = ".txt", ".conll"

ENDINGS: Mapping[HeadKind, tuple[str, ...]] = {
    HeadKind.CLASSIFICATION: TABLES,
    HeadKind.REGRESSION: TABLES,
    HeadKind.TOKEN_CLASSIFICATION: (*TABLES, WORDS, PLAIN),
    HeadKind.QUESTION_ANSWERING: TABLES,
    HeadKind.MASKED_LM: (*TABLES, PLAIN),
}
"""The files that a kind of task is read from. Of words with tags, .tsv and .txt are read as .conll is."""


def read_table(path: Path, key: str, kind: HeadKind = HeadKind.CLASSIFICATION, *, is_labelled: bool = True) -> Table:
    """A local file, in UTF-8 unless it is a .parquet file.

    .csv (quoted as usual) and .tsv (never quoted), whose header, if there is one, `is_header` tells from a row; .jsonl
    (an object a line), .json (`read_json`), .parquet; of words with tags .conll, .tsv and .txt (`read_words`), of texts
    without labels .txt (`read_lines`).

    Args:
        key: of the study file, for messages.
        is_labelled: whether the texts have labels, if the kind has any.

    Raises:
        DataError: no such file, not of a known kind, no rows, or a row that is broken, with its line.
    """
    if not path.exists():
        raise DataError(f"{key}: there is no file {path}")
    known = endings(kind, is_labelled=is_labelled)
    if path.is_dir():
        raise DataError(f"{key}: {path} is a folder; name a {', '.join(known[:-1])} or {known[-1]} file")
    ending = path.suffix.lower()
    if ending not in known:
        hint = ": one text a line has no labels" if ending == PLAIN else ""
        raise DataError(f"{key}: {path} is not one of {', '.join(known)}{hint}")
    nested = kind in NESTED
    of_words = (WORDS, ".tsv", *((PLAIN,) if is_labelled else ())) if kind is HeadKind.TOKEN_CLASSIFICATION else ()
    readers: dict[str, Callable[[Path, str], Table]] = {
        ".csv": _read_csv,
        ".tsv": _read_tsv,
        ".jsonl": partial(_read_jsonl, nested=nested),
        ".json": partial(read_json, nested=nested),
    }
    if ending == ".parquet":
        table = read_parquet(path, nested=nested)
    else:
        read = read_words if ending in of_words else readers.get(ending, read_lines)
        table = read(path, _text(path, key))
    if not table.rows:
        raise DataError(f"{key}: {path} has no rows")
    return table


def endings(kind: HeadKind, *, is_labelled: bool = True) -> tuple[str, ...]:
    """The files that texts of this kind are read from."""
    has_plain = not is_labelled and kind is not HeadKind.QUESTION_ANSWERING and PLAIN not in ENDINGS[kind]
    return (*ENDINGS[kind], *((PLAIN,) if has_plain else ()))


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
    rows = tuple(row for table in tables for row in table.rows)
    return Table(name, first.columns, rows, empty=sum(table.empty for table in tables))


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


def _read_jsonl(path: Path, text: str, *, nested: bool) -> Table:
    lines = ((f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    return table_of(str(path), ((place, _object(line, place)) for place, line in lines), nested=nested)


def _text(path: Path, key: str) -> str:
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
    return text


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


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
