"""What a study would search, as tables for the terminal."""

from __future__ import annotations

import re

from rich.table import Table

from cli.tables import NONE, new_table
from hardware.values import DeviceProfile
from protocol.quantity import format_count, format_seconds
from protocol.views import PreviewView


def costs_table(view: PreviewView, target: DeviceProfile) -> Table:
    """What the smallest, the middle and the largest architecture cost, one row for each cost."""
    table = new_table("Costs without token embeddings", "", "minimum", "median", "maximum")
    rows = {
        "parameters": view.parameters,
        f"FLOPs of {target.batch} x {target.length} tokens": view.flops,
        f"bytes of weights in {target.dtype}": view.weight_bytes,
    }
    for name, spread in rows.items():
        table.add_row(name, *(format_count(value) for value in (spread.minimum, spread.median, spread.maximum)))
    return table


def latencies_table(view: PreviewView) -> Table:
    """What is predicted of the latencies, one row for each machine that was calibrated."""
    table = new_table(
        "Predicted latencies", "hardware", "fastest", "median", "slowest", "mean error, cross-validated", "calibrated"
    )
    for one in view.latencies:
        found = one.calibration
        table.add_row(
            f"{found.hardware_key}  {found.environment.get('cpu', '')}".rstrip(),
            *(f"{format_seconds(value)} predicted" for value in (one.fastest_s, one.median_s, one.slowest_s)),
            f"{found.cross_validated.mape:.1%} of {found.architectures}",
            found.measured_at[:10],
        )
    return table


def constraints_table(view: PreviewView, *, of_teacher: bool = True) -> Table:
    """Who meets each constraint by itself; `of_teacher` where the vocabulary is the teacher's, and not known yet."""
    table = new_table("Constraints, each by itself", "constraint", "met by", "judged")
    for one in view.constraints:
        met, judged = NONE if one.met_by is None else f"{one.met_by:,} of {one.of:,}", one.judged
        if of_teacher and one.met_by is not None and re.match(r"(parameters|weight_bytes)\b", one.text):
            # What the teacher's vocabulary adds can only leave fewer.
            met, judged = f"at most {met}", f"{judged}, without token embeddings"
        table.add_row(one.text, met, judged)
    return table
