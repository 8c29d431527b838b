"""How much each dimension of the search space matters to each objective, as far as the trials tell."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from protocol.plots import Importance
from service.operations.points import dimensions_of
from service.operations.studies import get_study
from service.store.unit_of_work import UnitOfWork

FEWEST = 12
"""Trials from which anything is told."""

MOST_GROUPS = 8
"""Of a dimension with more values, neighbouring ones are taken together."""

Ranks = npt.NDArray[np.float64]


def importance(uow: UnitOfWork, name: str) -> Importance:
    """Raises: NotFoundError."""
    study = get_study(uow, name)
    trials = uow.trials.columns(study.id)
    found: Importance = {}
    for objective in study.spec.objectives:
        known = [trial for trial in trials if objective.metric in trial.metrics]
        values = [trial.metrics[objective.metric] for trial in known]
        found[objective.metric] = shares(values, dimensions_of(study.spec, known))
    return found


def shares(values: Sequence[float], dimensions: Mapping[str, Sequence[Hashable]]) -> dict[str, float] | None:
    """The part of the variance of the values' ranks that goes with each dimension by itself, scaled to a sum of 1.

    That part is epsilon squared = (SSB - (g - 1) MSW) / SST of ranks in g groups, which expects 0 of a dimension that
    has no influence, and is taken as 0 where it is below. Ranks make it the same for a metric and its logarithm. What
    two dimensions do only together is in none of them, and what goes with both is in both. None of fewer than `FEWEST`
    values, and where no dimension tells anything.

    References: Kelley 1935, "An unbiased correlation ratio measure"; of ranks as in Kruskal and Wallis 1952.
    """
    if len(values) < FEWEST:
        return None
    ranks = _ranks(np.asarray(values, dtype=np.float64))
    parts = {name: _part(ranks, _groups(column)) for name, column in dimensions.items()}
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()} if total > 0 else None


def _part(ranks: Ranks, groups: npt.NDArray[np.intp]) -> float:
    count, kinds = len(ranks), int(groups.max()) + 1
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if not 1 < kinds < count or total == 0:
        return 0.0
    sizes = np.bincount(groups, minlength=kinds)
    means = np.bincount(groups, weights=ranks, minlength=kinds) / sizes
    between = float((sizes * (means - ranks.mean()) ** 2).sum())
    within = (total - between) / (count - kinds)
    return max(0.0, (between - (kinds - 1) * within) / total)


def _groups(column: Sequence[Hashable]) -> npt.NDArray[np.intp]:
    """A number from 0 on for each value; of many numbers, for each of `MOST_GROUPS` parts of their order."""
    if all(isinstance(value, int) for value in column):
        numbers = np.array(column, dtype=np.float64)
        if len(np.unique(numbers)) > MOST_GROUPS:
            edges = np.unique(np.quantile(numbers, np.linspace(0, 1, MOST_GROUPS + 1)[1:-1], method="lower"))
            numbers = np.searchsorted(edges, numbers, side="right").astype(np.float64)
        return np.unique(numbers, return_inverse=True)[1]
    places = {value: place for place, value in enumerate(dict.fromkeys(column))}
    return np.array([places[value] for value in column], dtype=np.intp)


def _ranks(values: Ranks) -> Ranks:
    """From 1 on; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Ranks = (last - (counts - 1) / 2)[which]
    return ranks
