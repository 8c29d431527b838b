"""A search space in a few numbers, as a value to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search_space.cost import DTYPE_BYTES, Integers
from search_space.errors import EmptySpaceError
from search_space.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The smallest, the middle (the lower of two) and the largest of many values."""

    minimum: int
    median: int
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What is in a search space.

    Args:
        grid_points: combinations of the dimensions' values.
        valid_points: those that are architectures and meet every constraint.
        parameters, flops, weight_bytes: of the valid points; None where there are none.
        empty_because: what emptied the space; empty text for a space that is not empty.
    """

    grid_points: int
    valid_points: int
    parameters: Spread | None = None
    flops: Spread | None = None
    weight_bytes: Spread | None = None
    empty_because: str = ""


def preview(space: SearchSpace | Callable[[], SearchSpace]) -> Preview:
    """What is in the space. Given a function that makes it, an empty space is shown and not raised:
    `preview(lambda: space.within(teacher).bounded(parameters=5e6))`.

    Raises:
        SearchSpaceError: what the function raises, but for `EmptySpaceError`.
    """
    try:
        made = space if isinstance(space, SearchSpace) else space()
    except EmptySpaceError as error:
        return Preview(grid_points=error.grid_points, valid_points=0, empty_because=str(error))
    parameters = np.empty(made.size, dtype=np.int64)
    macs = np.empty(made.size, dtype=np.int64)
    start = 0
    for points in made.chunks():
        rows = slice(start, start + points.count)
        parameters[rows], macs[rows] = points.cost.parameters, points.cost.macs
        start = rows.stop
    return Preview(
        grid_points=made.grid_points,
        valid_points=made.size,
        parameters=(weights := _spread(parameters)),
        flops=_times(2, _spread(macs)),
        weight_bytes=_times(DTYPE_BYTES[made.dtype], weights),
    )


def _spread(values: Integers) -> Spread:
    middle = (len(values) - 1) // 2
    values.partition(middle)
    # Partitioned, the ends are on their own side of the middle.
    return Spread(
        minimum=int(values[: middle + 1].min()), median=int(values[middle]), maximum=int(values[middle:].max())
    )


def _times(factor: int, spread: Spread) -> Spread:
    return Spread(minimum=factor * spread.minimum, median=factor * spread.median, maximum=factor * spread.maximum)
