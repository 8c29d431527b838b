"""Which points of a grid are one step from another."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter

from search_space.grid import Axis, Grid

Point = dict[str, int]
"""A value for each axis."""


def neighbour_places(grid: Grid, place: int, categories: Collection[str]) -> Iterator[int]:
    """The grid's points one step along one axis from a valid point; not all of them need be valid.

    Args:
        categories: the axes on which any other value is one step away.
    """
    here = _named(grid, grid.point(place))
    dependents = _dependents(grid)
    is_there = {axis.name: _exists(axis, grid, here) for axis in grid.axes}
    for axis in grid.axes:
        if not is_there[axis.name]:
            continue
        for value in _steps(axis, here[axis.name], axis.name in categories):
            for moved in _settled(grid, here | {axis.name: value}, is_there, dependents):
                near = grid.place(_kept(grid, moved))
                if near is not None:
                    yield near


def _steps(axis: Axis, value: int, is_category: bool) -> list[int]:
    if is_category:
        return [other for other in axis.own if other != value]
    digit = axis.own.index(value)
    return [axis.own[near] for near in (digit - 1, digit + 1) if 0 <= near < len(axis.own)]


def _settled(grid: Grid, moved: Point, was_there: dict[str, bool], dependents: list[Axis]) -> list[Point]:
    """The points that `moved` can be, once each axis that comes to exist has a value, and each that ceases its default.

    Args:
        dependents: the axes with a condition, each after those that its condition names.
    """
    points = [moved]
    for axis in dependents:
        settled = []
        for point in points:
            if not _exists(axis, grid, point):
                settled.append(point | {axis.name: axis.default})
            elif was_there[axis.name]:
                settled.append(point)
            else:
                settled += [point | {axis.name: value} for value in axis.own]
        points = settled
    return points


def _dependents(grid: Grid) -> list[Axis]:
    conditional = {axis.name: axis.when.names for axis in grid.axes if axis.when is not None}
    return [grid.by_name[name] for name in TopologicalSorter(conditional).static_order() if name in conditional]


def _exists(axis: Axis, grid: Grid, point: Point) -> bool:
    return axis.when is None or axis.when.is_met({**grid.constants, **_kept(grid, point)})


def _named(grid: Grid, point: Point) -> Point:
    """With an embedding as wide as the hidden size under that width, where the dimension has no 0."""
    axis = grid.by_name.get("embedding_size")
    if axis is None or point["embedding_size"] or 0 in axis.own or not _exists(axis, grid, point):
        return point
    return point | {"embedding_size": point["hidden_size"]}


def _kept(grid: Grid, point: Point) -> Point:
    """As architectures keep it: see `Axis`."""
    axis = grid.by_name.get("embedding_size")
    if axis is None or point["embedding_size"] != point["hidden_size"]:
        return point
    # Where 0 is a value of its own, the wide form is no point at all.
    return point | {"embedding_size": -1 if 0 in axis.own else 0}
