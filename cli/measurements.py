"""Measurements as tables for the terminal, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from rich.table import Table

from cli.models import Model
from cli.tables import NONE, new_table
from encoders.values import Head
from hardware.grid import Cell
from hardware.histogram import Expectation, Histogram
from hardware.values import DeviceProfile, Measurement, Quantile, QuantileName
from protocol.quantity import format_count, format_seconds
from search_space import parameter_count

_MEASUREMENT, _PROFILE, _HEAD = TypeAdapter(Measurement), TypeAdapter(DeviceProfile), TypeAdapter(Head)
QUANTILES = tuple(str(name) for name in QuantileName)
BOUND = "lower bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found for one target; `lengths` are those of real texts, where they were asked for.

    `expected` is None where a bucket that has texts could not be measured.
    """

    target: DeviceProfile
    cells: tuple[Cell, ...]
    lengths: Histogram | None = None
    expected: Expectation | None = None


def single_table(cells: Sequence[Cell]) -> Table:
    """All that is known of each cell, a column for each."""
    table = new_table("", "", *(cell.profile.label for cell in cells))
    found = [dict(_rows(cell)) for cell in cells]
    for name in dict.fromkeys(name for rows in found for name in rows):
        table.add_row(name, *(rows.get(name, NONE) for rows in found))
    return table


def environment_lines(cells: Sequence[Cell]) -> Iterator[str]:
    """What the cells were measured in, once for each hardware key."""
    stamps = {cell.measurement.hardware_key: cell.measurement.environment for cell in cells if cell.measurement}
    for key, stamp in stamps.items():
        yield f"hardware {key}: {', '.join(f'{name} {value}' for name, value in stamp.items())}"


def grid_table(cells: Sequence[Cell]) -> Table:
    """One row for each cell; the chip's lower bound beside the quantiles where it is known of any."""
    names = _latency_names(cells)
    table = new_table("", "batch", "length", *names, "throughput", "peak memory", "verdict")
    for cell in cells:
        size = (str(cell.profile.batch), str(cell.profile.length))
        measured = cell.measurement
        if measured is None:
            table.add_row(*size, *[NONE] * (len(names) + 2), cell.reason or NONE)
            continue
        table.add_row(
            *size,
            *_latencies(measured, names),
            f"{measured.throughput_per_s:.4g}/s",
            _bytes(measured.peak_memory_bytes),
            _verdict(measured),
        )
    return table


def lengths_table(result: Result) -> Table:
    """One row for each bucket of real lengths; the chip's lower bound as in `grid_table`."""
    assert result.lengths is not None
    cells = {cell.profile.length: cell for cell in result.cells}
    texts = result.lengths.texts
    names = _latency_names(result.cells)
    table = new_table("", "up to", "texts", "share", "padding", *names, "verdict")
    for bucket in result.lengths.buckets:
        cell = cells.get(bucket.length)
        head = (f"{bucket.length} tokens", str(bucket.texts), f"{bucket.texts / texts:.1%}")
        padding = f"{bucket.waste:.1%}" if bucket.texts else NONE
        measured = None if cell is None else cell.measurement
        if measured is None:
            reason = NONE if cell is None else cell.reason or NONE
            table.add_row(*head, padding, *[NONE] * len(names), reason)
        else:
            table.add_row(*head, padding, *_latencies(measured, names), _verdict(measured))
    return table


def lengths_lines(result: Result) -> Iterator[str]:
    """What the texts take together."""
    seen, expected = result.lengths, result.expected
    assert seen is not None
    if seen.cut:
        yield f"{seen.cut} of {seen.texts} texts are longer than {seen.buckets[-1].length} tokens and are cut"
    yield (
        f"padding: {seen.waste:.1%} of the tokens computed, {seen.waste_without_buckets:.1%} without buckets"
        f" (all padded to {seen.buckets[-1].length})"
    )
    if expected is None:
        yield "no expected latency: a bucket that has texts could not be measured"
        return
    seconds = ", ".join(f"{name} {format_seconds(value)}" for name, value in expected.quantiles_s.items())
    yield (
        f"expected latency of a call, from the measured buckets: mean {format_seconds(expected.mean_s)}, {seconds};"
        f" {expected.throughput_per_s:.4g} texts/s"
    )
    if expected.longest_s is not None:
        yield f"without buckets: mean {format_seconds(expected.longest_s)}"


def quantile_text(quantile: Quantile) -> str:
    """`3.1 ms [3.0 ms, 3.2 ms]`; a bound that too few calls could tell is a question mark."""
    low, high = ("?" if bound is None else format_seconds(bound) for bound in (quantile.low_s, quantile.high_s))
    return f"{format_seconds(quantile.value_s)} [{low}, {high}]"


def described(model: Model, results: Sequence[Result], *, with_samples: bool) -> dict[str, Any]:
    """All of it as JSON values; raw samples are many."""
    return {
        "model": {
            "name": model.name,
            "architecture": model.architecture.to_dict(),
            "parameters": parameter_count(model.architecture),
            "head": _HEAD.dump_python(model.head, mode="json"),
            "checkpoint": None if model.checkpoint is None else str(model.checkpoint),
            "notes": list(model.notes),
        },
        "targets": [_described(result, with_samples) for result in results],
    }


def as_csv(results: Sequence[Result]) -> str:
    """One row for each cell: its profile, its values in seconds and bytes, or why there are none."""
    rows = [_csv_row(cell) for result in results for cell in result.cells]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


_PLAIN = (
    "bound_s",
    "throughput_per_s",
    "load_s",
    "compile_s",
    "first_call_s",
    "peak_memory_bytes",
    "copy_s",
    "event_share",
    "device_peak_memory_bytes",
    "energy_j",
    "log_variance",
    "reference_s",
    "reference_shift",
    "voided",
    "effort",
    "source",
    "verdict",
    "hardware_key",
    "measured_at",
)


def _csv_row(cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = _PROFILE.dump_python(cell.profile, mode="json")
    measured = cell.measurement
    for name in QUANTILES:
        quantile = None if measured is None else getattr(measured, name)
        row |= {f"{name}_{bound}": getattr(quantile, bound, None) for bound in ("value_s", "low_s", "high_s")}
    row |= {name: getattr(measured, name, None) for name in _PLAIN}
    notes = () if measured is None else measured.notes
    return row | {"calls": _calls(measured), "notes": "; ".join(notes), "reason": cell.reason}


def _described(result: Result, with_samples: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "target": _PROFILE.dump_python(result.target, mode="json"),
        "cells": [_described_cell(cell, with_samples) for cell in result.cells],
    }
    if result.lengths is not None:
        values["lengths"] = TypeAdapter(Histogram).dump_python(result.lengths, mode="json") | {
            "texts": result.lengths.texts,
            "waste": result.lengths.waste,
            "waste_without_buckets": result.lengths.waste_without_buckets,
        }
        expected = result.expected
        values["expected"] = None if expected is None else TypeAdapter(Expectation).dump_python(expected, mode="json")
    return values


def _described_cell(cell: Cell, with_samples: bool) -> dict[str, Any]:
    profile = _PROFILE.dump_python(cell.profile, mode="json")
    if cell.measurement is None:
        return {"profile": profile, "measurement": None, "reason": cell.reason, "left_out": cell.left_out}
    measured = _MEASUREMENT.dump_python(cell.measurement, mode="json")
    if not with_samples:
        measured = {name: value for name, value in measured.items() if name != "samples_s"}
    return {"profile": profile, "measurement": measured, "reason": None, "left_out": False}


def _rows(cell: Cell) -> Iterator[tuple[str, str]]:
    measured = cell.measurement
    if measured is None:
        yield "not measured", cell.reason or NONE
        return
    for name in QUANTILES:
        yield name, quantile_text(getattr(measured, name))
    if measured.bound_s is not None:
        yield BOUND, f"{_bound(measured)} (of the chip's datasheet)"
    yield "throughput", f"{measured.throughput_per_s:.4g} texts/s"
    yield "load", format_seconds(measured.load_s)
    yield "compile", format_seconds(measured.compile_s) if measured.compile_s else NONE
    yield "first call", format_seconds(measured.first_call_s)
    yield "peak memory", _bytes(measured.peak_memory_bytes)
    for name, (label, text) in _ACCELERATOR.items():
        told = getattr(measured, name, None)
        if told is not None:
            yield label, text(told)
    yield "verdict", str(measured.verdict)
    yield "because", "\n".join(measured.notes) or NONE
    yield "source", f"{measured.source}, effort {measured.effort}, {_calls(measured)} calls"
    yield "hardware", measured.hardware_key


_ACCELERATOR: dict[str, tuple[str, Callable[[float], str]]] = {
    "copy_s": ("copy of an input", format_seconds),
    "event_share": ("device's own time", lambda share: f"{share:.0%} of p50"),
    "device_peak_memory_bytes": ("peak memory, device", lambda count: f"{format_count(count)}B"),
    "energy_j": ("energy", lambda joules: f"{joules:.3g} J a text"),
}
"""What only accelerators tell, by its name in a measurement."""


def _latency_names(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The quantiles, and the lower bound where it is known of any: of a CPU nobody knows one."""
    is_bounded = any(cell.measurement is not None and cell.measurement.bound_s is not None for cell in cells)
    return (*QUANTILES, BOUND) if is_bounded else QUANTILES


def _latencies(measured: Measurement, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield _bound(measured) if name == BOUND else quantile_text(getattr(measured, name))


def _bound(measured: Measurement) -> str:
    return NONE if measured.bound_s is None else format_seconds(measured.bound_s)


def _calls(measured: Measurement | None) -> int | None:
    return None if measured is None else measured.calls or measured.kept


def _verdict(measured: Measurement) -> str:
    return "; ".join([str(measured.verdict), *measured.notes])


def _bytes(count: int) -> str:
    return f"{format_count(count)}B"
