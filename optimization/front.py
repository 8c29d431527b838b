"""Front, hypervolume and finalists of finished trials. Imports neither torch nor Ax: the web process uses it.

A row holds the metrics of one trial; what the objectives do not name is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import moocore  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from optimization.errors import OptimizationError
from optimization.values import Direction, Objective

Row = Mapping[str, float]
Losses = npt.NDArray[np.float64]
"""(rows, objectives), lower is better."""

MARGIN = 0.1
"""How far a reference lies beyond the worst value, as a share of the range."""


def front(objectives: Sequence[Objective], rows: Sequence[Row]) -> list[int]:
    """Indices of the rows that no other row dominates, ascending.

    A row dominates another that it beats in one objective and equals or beats in all. Equal rows do not dominate each
    other: either all or none of them are in the front.

    Raises:
        OptimizationError: a row misses a metric or holds one that is not a finite number.
    """
    losses = _losses(objectives, rows)
    if not len(losses):
        return []
    return [int(row) for row in np.flatnonzero(moocore.is_nondominated(losses, keep_weakly=True))]


def hypervolume(objectives: Sequence[Objective], rows: Sequence[Row], reference: Row) -> float:
    """Volume that the rows dominate within the reference, each objective in units of |reference| (1 where that is 0).

    So it has no unit, is the same whether latencies came in seconds or milliseconds, and never falls as rows are
    added. Two values are comparable when their references are equal: a study infers its reference once and stores it.
    The ratio of two such values is that of the hypervolumes of the literature, since scaling an axis scales all alike.
    Rows that are not better than the reference in every objective add nothing.

    Raises:
        OptimizationError: a row or the reference misses a metric or holds one that is not a finite number.
    """
    return _volume(*_scaled(objectives, rows, reference))


def infer_reference(objectives: Sequence[Objective], rows: Sequence[Row]) -> dict[str, float]:
    """The worst value seen of each metric, pushed out by 10 % of the range seen; to be inferred once and stored.

    Pushed out so that the extremes of the front have a volume too. All rows count, not only the front, since a front
    found later may be wider than the first one. Where all values are equal (a single row) the push is 10 % of the
    value, or 0.1 when it is 0.

    Raises:
        OptimizationError: no rows; a row misses a metric or holds one that is not a finite number.
    """
    losses = _losses(objectives, rows)
    if not len(losses):
        raise OptimizationError("a reference needs at least one row")
    worst, best = losses.max(axis=0), losses.min(axis=0)
    pushes = [_push(float(low), float(high)) for low, high in zip(best, worst, strict=True)]
    signs = [_sign(objective) for objective in objectives]
    return {
        objective.metric: sign * (float(value) + push)
        for objective, sign, value, push in zip(objectives, signs, worst, pushes, strict=True)
    }


def choose_finalists(objectives: Sequence[Objective], rows: Sequence[Row], count: int, reference: Row) -> list[int]:
    """Indices of at most `count` rows of the front that together dominate most, in the order in which they were chosen.

    Greedy: each choice is the row that adds the most hypervolume to those chosen before, which reaches at least
    1 - 1/e of what the best subset dominates. Ties, and rows that add nothing (duplicates, or beyond the reference),
    go by their index. There are fewer only when the front is smaller.

    Raises:
        OptimizationError: as `hypervolume`, or a count below 0.

    References: Guerreiro, Fonseca, Paquete 2016, "Greedy hypervolume subset selection in low dimensions".
    """
    if count < 0:
        raise OptimizationError(f"the number of finalists must be at least 0, got {count}")
    losses, bound = _scaled(objectives, rows, reference)
    left = front(objectives, rows)
    chosen: list[int] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda row: (_volume(losses[[*chosen, row]], bound), -row))
        chosen.append(best)
        left.remove(best)
    return chosen


def growth(
    objectives: Sequence[Objective], rows: Sequence[Row | None], ends: Sequence[int], reference: Row
) -> list[float]:
    """The hypervolume of the first `end` rows, for each of these ascending ends. None stands for what has no metrics.

    Each end costs as much as its front is long, however many rows there are.

    Raises:
        OptimizationError: as `hypervolume`.
    """
    whole = [row for row in rows if row is not None]
    losses, bound = _scaled(objectives, whole, reference)
    counts = np.cumsum([0, *(row is not None for row in rows)])[[0, *ends]]
    best, volume, volumes = losses[:0], 0.0, []
    for start, end in pairwise(counts.tolist()):
        both = np.concatenate([best, losses[start:end]])
        kept = moocore.is_nondominated(both) if len(both) else np.zeros(0, dtype=bool)
        if kept[len(best) :].any():
            best = both[kept]
            volume = _volume(best, bound)
        volumes.append(volume)
    return volumes


def _losses(objectives: Sequence[Objective], rows: Sequence[Row]) -> Losses:
    if not objectives:
        raise OptimizationError("at least one objective is needed")
    losses: Losses = np.empty((len(rows), len(objectives)))
    for place, row in enumerate(rows):
        losses[place] = [_sign(objective) * _finite(row, objective, f"row {place}") for objective in objectives]
    return losses


def _scaled(objectives: Sequence[Objective], rows: Sequence[Row], reference: Row) -> tuple[Losses, Losses]:
    values = [_finite(reference, objective, "the reference") for objective in objectives]
    units = np.array([abs(value) or 1.0 for value in values])
    signs = np.array([_sign(objective) for objective in objectives])
    return _losses(objectives, rows) / units, np.array(values) * signs / units


def _volume(losses: Losses, bound: Losses) -> float:
    inside = losses[(losses < bound).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=bound)) if len(inside) else 0.0


def _finite(row: Row, objective: Objective, where: str) -> float:
    if objective.metric not in row:
        raise OptimizationError(f"{where} has no {objective.metric}; only finished trials have a place here")
    value = row[objective.metric]
    if not math.isfinite(value):
        raise OptimizationError(f"{where} has {objective.metric} = {value}, which is not a finite number")
    return value


def _sign(objective: Objective) -> float:
    return 1.0 if objective.direction is Direction.MINIMIZE else -1.0


def _push(low: float, high: float) -> float:
    spread = high - low
    return MARGIN * (spread or abs(high) or 1.0)
