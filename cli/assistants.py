"""Among whom an assistant was chosen, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from cli.tables import NONE, new_table

if TYPE_CHECKING:
    from distillation.assistants.tradeoff import Assistance, Point
    from distillation.values import Estimate


def assistants_tables(assistance: Assistance, metric: str) -> Iterator[Table]:
    """One for each assistant that was looked for; of an exhaustive search one of all."""
    rounds = assistance.rounds
    if all(point.student is not None for each in rounds for point in each.points):
        yield _table("Assistants", [(point, "") for each in rounds for point in each.points], metric)
        return
    for each in rounds:
        marked = [(point, "chosen" if place == each.chosen else "") for place, point in enumerate(each.points)]
        none = "" if each.chosen is not None else ": none, the student itself was best"
        yield _table(f"Candidates for assistant{none}", marked, metric)


def _table(title: str, points: list[tuple[Point, str]], metric: str) -> Table:
    columns = ("sparsity", "architecture", "share of the blocks", f"{metric}, selection split", "trade-off")
    taught = any(point.student is not None for point, _ in points)
    table = new_table(title, *columns, "its student" if taught else "")
    for point, mark in points:
        table.add_row(
            NONE if point.sparsity < 0 else f"{point.sparsity:g}",
            point.architecture.label,
            f"{point.share:.3f}",
            _text(point.selection),
            f"{point.tradeoff:.4f}",
            mark if point.student is None else _text(point.student),
        )
    return table


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
