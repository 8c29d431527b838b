"""Few points that stand for a whole space: what is measured to learn how long all of it takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from search_space.cost import parameter_columns
from search_space.space import SearchSpace

DRAWS = 16
"""Hypercubes of which the best is taken."""


def design(space: SearchSpace, count: int, seed: int = 0) -> list[int]:
    """`count` rows of the space, or all it has, none of them twice; the same for the same arguments.

    The smallest and the largest by parameters come first: predictions then lie between measured ones. The others fill
    the space evenly, each dimension as its values are found among the valid points.
    """
    count = min(count, space.size)
    generator = np.random.default_rng(seed)
    parameters = parameter_columns(space.columns)
    rows = dict.fromkeys([int(parameters.argmin()), int(parameters.argmax())])
    points = _hypercube(count, len(space.names), generator)
    rows |= dict.fromkeys(row_at(space, point) for point in points)
    if len(rows) < count:  # of a small space several points are one
        rows |= dict.fromkeys(generator.permutation(space.size).tolist())
    return list(rows)[:count]


def row_at(space: SearchSpace, point: npt.NDArray[np.float64]) -> int:
    """The valid point that stands where `point` stands in the unit cube.

    One dimension after the other takes the quantile of its values among the points that agree so far (the Rosenblatt
    transformation), so a uniform point gives a uniform valid point and none has to be rejected.
    """
    low, high = 0, space.size
    for name, quantile in zip(space.names, point, strict=True):
        part = space.columns[name][low:high]
        value = part[int(quantile * len(part))]
        low, high = low + int(np.searchsorted(part, value)), low + int(np.searchsorted(part, value, side="right"))
    return low


def space_key(space: SearchSpace) -> str:
    """Canonical key of what the space may vary; neither its vocabulary nor what its costs are counted for enter it."""
    parts = {
        "dimensions": {name: asdict(space.dimensions[name]) for name in space.names},
        "constraints": sorted(space.constraints),
        "defaults": [space.activation, space.norm, space.pooler],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _hypercube(count: int, dimensions: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """(count, dimensions) points of the unit cube, one in each of `count` slices of each dimension.

    Of `DRAWS` such Latin hypercubes the one whose nearest two points lie farthest apart.

    References: Morris and Mitchell (1995), Exploratory designs for computational experiments.
    """
    draws = []
    for _ in range(DRAWS):
        slices = np.stack([generator.permutation(count) for _ in range(dimensions)], axis=1)
        draws.append((slices + generator.random((count, dimensions))) / count)
    return max(draws, key=_nearest)


def _nearest(points: npt.NDArray[np.float64]) -> float:
    squares = np.square(points[:, None] - points).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    return float(squares.min())
