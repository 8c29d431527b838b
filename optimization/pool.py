"""The rows of a space that a strategy looks at before it chooses: a space may have millions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optimization.features import Rows
from search_space import KNOWN, SearchSpace
from search_space.space import FIXED

Booleans = npt.NDArray[np.bool_]

UNIFORM = 512
"""Untried rows taken anywhere."""

CHILDREN = 256
"""Mutations and recombinations of the front, of each kind."""

BROUGHT = (*FIXED, "activation", "norm", "pooler")
"""They follow from the teacher where they are no dimension."""

MOST_PARENTS = 24

MOST_SMALL = 1500
"""A space with no more untried rows is looked at as a whole."""


def pool(
    space: SearchSpace, free: Booleans, parents: Sequence[int], generator: np.random.Generator, *, least: int = 0
) -> Rows:
    """Distinct rows that are `free`, ascending: uniform ones, children of the `parents`, and published shapes.

    At least so many, where as many are free.
    """
    untried = np.flatnonzero(free)
    if len(untried) <= MOST_SMALL:
        return untried
    parts = [generator.choice(untried, size=min(max(UNIFORM, least), len(untried)), replace=False), _published(space)]
    if parents:
        chosen = list(parents)[:MOST_PARENTS]
        parts += [neighbours(space, parent) for parent in chosen]
        first, second, third = generator.choice(chosen, size=(3, CHILDREN))
        parts += [mutated(space, first, generator), recombined(space, second, third, generator)]
    rows: Rows = np.unique(np.concatenate(parts))
    return rows[free[rows]]


def neighbours(space: SearchSpace, row: int) -> Rows:
    """The rows one step away from a row."""
    return _rows(space, space.neighbours(space.architecture(row)))


def mutated(space: SearchSpace, rows: npt.ArrayLike, generator: np.random.Generator) -> Rows:
    """Each row with the values of a random row in some dimensions: one on average, so a third stay as they are."""
    own = _values(space, rows)
    count, width = own.shape
    other = _values(space, space.sample_rows(count, generator, distinct=False))
    taken = generator.random((count, width)) < 1.0 / width
    return nearest(space, np.where(taken, other, own))


def recombined(
    space: SearchSpace, mothers: npt.ArrayLike, fathers: npt.ArrayLike, generator: np.random.Generator
) -> Rows:
    """Of each pair of rows, each dimension's value from either."""
    own, other = _values(space, mothers), _values(space, fathers)
    return nearest(space, np.where(generator.random(own.shape) < 0.5, own, other))


def nearest(space: SearchSpace, values: npt.NDArray[np.int64]) -> Rows:
    """For each point (points, dimensions), a valid row: one dimension after the other takes the value that is nearest
    among the rows that agree so far, so that a valid point becomes itself and no other is rejected."""
    columns = [space.columns[name] for name in space.names]
    found = np.empty(len(values), dtype=np.intp)
    for place, point in enumerate(values):
        low, high = 0, space.size
        for column, wanted in zip(columns, point, strict=True):
            part = column[low:high]
            at = int(np.searchsorted(part, wanted))
            near = [part[k] for k in (at - 1, at) if 0 <= k < len(part)]
            value = min(near, key=lambda one: abs(int(one) - int(wanted)))
            low, high = low + int(np.searchsorted(part, value)), low + int(np.searchsorted(part, value, side="right"))
        found[place] = low
    return found


def _values(space: SearchSpace, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
    points = space.take(rows)
    return np.stack([points[name] for name in space.names], axis=1)


def _published(space: SearchSpace) -> Rows:
    """The published shapes that the space has, whatever the teacher's vocabulary and pooler are."""
    any_of_it = space.architecture(0)
    brought = {name: getattr(any_of_it, name) for name in BROUGHT if name not in space.dimensions}
    return _rows(space, [replace(shape, **brought) for shape in KNOWN.values()])


def _rows(space: SearchSpace, architectures: Iterable[object]) -> Rows:
    found = (space.index(each) for each in architectures)  # type: ignore[arg-type]
    return np.array([row for row in found if row is not None], dtype=np.intp)
