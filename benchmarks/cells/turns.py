"""Timings of several sides that take turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from cells.numbers import table

Side = Callable[[], float]
"""Does the work once; the seconds it took."""
UNITS = {"s": 1.0, "ms": 1e3}


def compare(sides: Mapping[str, Side], *, rounds: int, unit: str, per: int = 1) -> None:
    """Prints what each side takes for each of `per` steps, and its ratio to the first side's in the same turn.

    Who goes first changes with every turn; a turn before the first is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds = sides[name]()
            if turn:
                taken[name].append(UNITS[unit] * seconds / per)
    rows = []
    for name, values in taken.items():
        ratios = [value / other for value, other in zip(values, taken[names[0]], strict=True)]
        rows.append([name, spread(values, ".2f"), spread(ratios, ".3f")])
    print(table(["", unit if per == 1 else f"{unit} a step", f"/ {names[0]}"], rows), flush=True)


def spread(values: Sequence[float], form: str) -> str:
    """The median with the quartiles."""
    if len(values) < 2:
        return f"{values[0]:{form}}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):{form}} ({low:{form}} to {high:{form}})"
