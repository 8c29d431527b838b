"""What the trials say about one metric, on the scale on which it is modelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from optimization.strategy import StrategyStudy, StrategyTrial
from optimization.values import Direction
from search_space import SearchSpace
from search_space.grid import COSTS

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


FEWEST_FULL = 3
"""Values of full fidelity from which it is worth modelling both."""

MOST_VARIANCE = 1e12
"""Of a logarithm's noise: it tells nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Values of one metric, from every trial that has one, whatever became of it.

    Args:
        rows: of the space, (n,).
        values: logarithms where `logarithmic`, (n,).
        variances: of the values' noise where a trial tells it, else 0; (n,).
        full: whether the value is of full fidelity, (n,).
        logarithmic: a metric that grows with size, such as a latency, is modelled by its logarithm.
    """

    metric: str
    rows: Rows
    values: Values
    variances: Values
    full: npt.NDArray[np.bool_]
    logarithmic: bool

    @property
    def count(self) -> int:
        return len(self.rows)

    def of(self, places: npt.ArrayLike) -> Observations:
        """Those at these places, or where a mask of them is true."""
        kept = np.asarray(places)
        return replace(
            self,
            rows=self.rows[kept],
            values=self.values[kept],
            variances=self.variances[kept],
            full=self.full[kept],
        )

    def at_flash(self) -> Observations:
        """Without those of full fidelity."""
        return self.of(~self.full)


def observe(study: StrategyStudy, trials: Sequence[StrategyTrial], metric: str) -> Observations:
    """The finite values of this metric. Trials outside the space have no row, and are left out."""
    found: list[tuple[int, float, float, bool]] = []
    for trial in trials:
        row = study.space.index(trial.architecture)
        if row is None:
            continue
        for metrics, noise, full in ((trial.metrics, trial.variances, False), (trial.full, {}, True)):
            value, variance = metrics.get(metric, math.nan), noise.get(metric, 0.0)
            if math.isfinite(value):
                found.append((row, value, variance if 0 < variance < math.inf else 0.0, full))
    table = np.array(found, dtype=np.float64).reshape(-1, 4)
    logarithmic = is_logarithmic(study, metric, table[:, 1])
    if logarithmic:
        table = table[table[:, 1] > 0]  # what is always positive was measured wrongly
    values, variances = table[:, 1], table[:, 2]
    if logarithmic:
        with np.errstate(over="ignore"):
            # Delta method; neither a square of a small value nor a quotient leaves the numbers there are.
            variances = np.minimum(np.square(np.sqrt(variances) / values), MOST_VARIANCE)
        values = np.log(values)
    return Observations(
        metric=metric,
        rows=table[:, 0].astype(np.intp),
        values=values,
        variances=variances,
        full=table[:, 3] > 0,
        logarithmic=logarithmic,
    )


def is_logarithmic(study: StrategyStudy, metric: str, values: Values) -> bool:
    """Predicted metrics and closed-form costs always are; others where they are positive and not to be maximised."""
    if metric in study.predictors or is_known(metric):
        return True
    maximized = any(o.metric == metric and o.direction is Direction.MAXIMIZE for o in study.objectives)
    return not maximized and len(values) > 0 and bool(values.min() > 0)


def is_known(metric: str) -> bool:
    """Whether the metric follows from the architecture in closed form, so that nothing has to be modelled."""
    return metric in COSTS


def known_values(space: SearchSpace, metric: str, rows: npt.ArrayLike) -> Values:
    """A known metric of these rows, in its own unit."""
    return np.asarray(space.take(rows)[metric], dtype=np.float64)


def allowed(study: StrategyStudy, rows: Rows) -> Rows:
    """The rows that meet every bound on a metric that is known in closed form."""
    for constraint in study.constraints:
        if is_known(constraint.metric):
            values = known_values(study.space, constraint.metric, rows)
            rows = rows[values >= constraint.bound if constraint.at_least else values <= constraint.bound]
    return rows
