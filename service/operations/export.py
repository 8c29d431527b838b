"""A study's trials as one table, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, assert_never

from service.operations.points import points_view
from service.operations.studies import get_study
from service.store.unit_of_work import UnitOfWork

_ROWS = 500
"""Of a piece that is sent at once."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that a spreadsheet would compute; a worker's message may be anything."""


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        match self:
            case ExportFormat.CSV:
                return "text/csv; charset=utf-8"
            case ExportFormat.JSON:
                return "application/json"
            case ExportFormat.PARQUET:
                return "application/vnd.apache.parquet"
            case unreachable:
                assert_never(unreachable)


Table = dict[str, Sequence[Any]]
"""Columns of equal length; None where a trial has no such value."""


def table(uow: UnitOfWork, name: str) -> Table:
    """One row for each trial, by number. Latencies are in seconds.

    Metrics have their own names; `NAME_deviation` is the standard deviation of their observation noise,
    `NAME_predicted` what was expected before, `NAME_full` and `NAME_report` what a finalist reached at full fidelity on
    the selection and on the report split.

    Raises:
        NotFoundError: there is no such study.
    """
    study, points = get_study(uow, name), points_view(uow, name)
    ends = {
        number: (created_at, ended_at, reason) for number, created_at, ended_at, reason in uow.trials.ends_of(study.id)
    }
    metric = str(study.spec.task.metric)
    reports = uow.trials.report_values(study.id)
    told = {
        "number": points.numbers,
        "state": [str(state) for state in points.states],
        "label": points.labels,
        "origin": points.origins,
        "on_front": points.on_front,
        "created_at": [ends[number][0].isoformat() for number in points.numbers],
        "ended_at": [None if (at := ends[number][1]) is None else at.isoformat() for number in points.numbers],
        "reason": [ends[number][2] for number in points.numbers],
    }
    found: Table = {**told, **points.dimensions, **points.metrics}
    for suffix, columns in (("deviation", points.deviations), ("predicted", points.predicted), ("full", points.full)):
        found |= {f"{column}_{suffix}": values for column, values in columns.items()}
    if reports:
        found[f"{metric}_report"] = [reports.get(number) for number in points.numbers]
    return found


def written(columns: Table, kind: ExportFormat) -> Iterator[bytes]:
    """The table in this format, piece by piece."""
    match kind:
        case ExportFormat.CSV:
            return _csv(columns)
        case ExportFormat.JSON:
            return _json(columns)
        case ExportFormat.PARQUET:
            return iter([_parquet(columns)])
        case unreachable:
            assert_never(unreachable)


def _csv(columns: Table) -> Iterator[bytes]:
    yield _lines([list(columns)])
    rows = list(zip(*(_cells(column) for column in columns.values()), strict=True))
    for start in range(0, len(rows), _ROWS):
        yield _lines(rows[start : start + _ROWS])


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cells(column: Sequence[Any]) -> Iterator[Any]:
    for value in _plain(column):
        yield f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _json(columns: Table) -> Iterator[bytes]:
    names = list(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    yield b"["
    for start in range(0, len(rows), _ROWS):
        piece = json.dumps(rows[start : start + _ROWS], allow_nan=False)
        yield (("," if start else "") + piece[1:-1]).encode()
    yield b"]"


def _parquet(columns: Table) -> bytes:
    # Imported when it is used: it takes longer than the web process does to start.
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: list(_plain(column)) for name, column in columns.items()}), buffer)
    return buffer.getvalue()


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    """Shapes with a size for each layer as text; a column has one type."""
    if not any(isinstance(value, tuple) for value in column):
        return column
    return [" ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in column]
