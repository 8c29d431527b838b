"""The combinations of a search space's dimensions, numbered, and decoded only as far as somebody looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_space.architecture import OPTIONS, Architecture
from search_space.cost import Cost, Integers, cost_columns
from search_space.expression import Booleans, Expression

Places = npt.NDArray[np.int32 | np.int64]
"""Numbers of points of a grid."""

FIELDS = tuple(field.name for field in fields(Architecture))
COSTS = ("parameters", "macs", "flops", "weight_bytes", "activation_bytes")
"""What a constraint may bound besides the fields of an architecture."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A dimension, as the values that its column can hold.

    These are its own values, and the default that it has where its condition is false; an embedding size equal to the
    hidden size is 0, as architectures keep it. The grid has the product of all of them; `rules` leave out what is no
    point, so that each point is there once, and points are in the lexicographic order of their columns.

    Args:
        own: the dimension's own values, ascending.
        values: what the column can hold, ascending.
        default: where `when` is false.
    """

    name: str
    own: tuple[int, ...]
    values: tuple[int, ...]
    default: int
    when: Expression | None

    @cached_property
    def column(self) -> Integers:
        return np.asarray(self.values, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The product of the axes. Points are numbered in lexicographic order.

    Args:
        axes: in the order of the search space's names.
        constants: every other field of an architecture but a head size that follows from the heads.
        batch, length, dtype: what costs are counted for.
    """

    axes: tuple[Axis, ...]
    constants: Mapping[str, int]
    batch: int
    length: int
    dtype: str

    @cached_property
    def size(self) -> int:
        return math.prod(len(axis.values) for axis in self.axes)

    @cached_property
    def steps(self) -> Mapping[str, int]:
        """How far apart points are that differ by one value of an axis."""
        steps, step = {}, 1
        for axis in reversed(self.axes):
            steps[axis.name] = step
            step *= len(axis.values)
        return steps

    @cached_property
    def by_name(self) -> Mapping[str, Axis]:
        return {axis.name: axis for axis in self.axes}

    @property
    def derives_head_size(self) -> bool:
        return "head_size" not in self.by_name

    @property
    def most(self) -> Mapping[str, int]:
        """A shape that costs about as much as any point, or more."""
        shape = {**self.constants, **{axis.name: axis.values[-1] for axis in self.axes}}
        widths = ("hidden_size", "bottleneck_size", "embedding_size")
        shape |= dict.fromkeys(widths, max(shape[name] for name in widths))
        return shape | ({"heads": 1, "head_size": shape["hidden_size"]} if self.derives_head_size else {})

    def chunks(self, rows: int) -> Iterator[Points]:
        """All points, `rows` at a time."""
        for start in range(0, self.size, rows):
            numbers = np.arange(start, min(start + rows, self.size))
            # Half the memory, and numpy divides them in a fraction of the time.
            yield Points(self, numbers.astype(np.int32) if self.size < 2**31 else numbers)

    def place(self, values: Mapping[str, int]) -> int | None:
        """The number of the point with these values on the axes, or None."""
        place = 0
        for axis in self.axes:
            digit = self._digits[axis.name].get(values[axis.name])
            if digit is None:
                return None
            place += digit * self.steps[axis.name]
        return place

    def point(self, place: int) -> dict[str, int]:
        """The values of a point on the axes."""
        return {axis.name: axis.values[place // self.steps[axis.name] % len(axis.values)] for axis in self.axes}

    def architecture(self, place: int) -> Architecture:
        """A point that is known to be valid."""
        values = {**self.constants, **self.point(place)}
        if self.derives_head_size:
            values["head_size"] = (values["bottleneck_size"] or values["hidden_size"]) // values["heads"]
        return Architecture.of_valid(
            OPTIONS[name][values[name]] if name in OPTIONS else values[name] for name in FIELDS
        )

    @cached_property
    def _digits(self) -> Mapping[str, Mapping[int, int]]:
        return {axis.name: {value: digit for digit, value in enumerate(axis.values)} for axis in self.axes}


class Points(Mapping[str, Integers]):
    """Points of a grid, as the fields of their architectures; costs can be looked up as well.

    A column is computed when it is first asked for.
    """

    def __init__(self, grid: Grid, places: Places, known: Mapping[str, Integers] | None = None) -> None:
        self.grid = grid
        self.places = places
        self._known = dict(known or {})

    @property
    def count(self) -> int:
        return len(self.places)

    def __len__(self) -> int:
        return len(FIELDS)

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __getitem__(self, name: str) -> Integers:
        if name not in self._known:
            self._known[name] = self._column(name)
        return self._known[name]

    def keep(self, rows: Booleans) -> Points:
        """The points where this is true."""
        if rows.all():
            return self
        known = {name: column[rows] for name, column in self._known.items() if name not in COSTS}
        return Points(self.grid, self.places[rows], known)

    @cached_property
    def cost(self) -> Cost[Integers]:
        """What the architectures cost."""
        # One number, not a column, of what is the same everywhere: most of the work then disappears.
        columns = {name: np.asarray(self._constant(name)) for name in FIELDS if self._constant(name) is not None}
        columns |= {name: self[name] for name in FIELDS if name not in columns}
        grid = self.grid
        total = cost_columns(columns, batch=grid.batch, length=grid.length, dtype=grid.dtype)
        return Cost(**{field.name: self._spread(getattr(total, field.name)) for field in fields(Cost)})

    def _column(self, name: str) -> Integers:
        constant = self._constant(name)
        if constant is not None:
            return self._spread(np.asarray(constant, dtype=np.int64))
        if name in self.grid.by_name:
            axis, step = self.grid.by_name[name], self.grid.steps[name]
            # Not `%`: numpy divides integers by one number several times as fast as it takes the remainder.
            above = self.places // step
            return axis.column.take(above - above // len(axis.values) * len(axis.values))
        if name == "head_size":
            return self.block_size // self["heads"]
        if name in COSTS:
            costs: Integers = getattr(self.cost, name)
            return costs
        raise KeyError(name)

    @property
    def block_size(self) -> Integers:
        """What the heads divide between them: the bottleneck, or else the hidden size."""
        if self._constant("bottleneck_size") == 0:
            return self["hidden_size"]
        return np.where(self["bottleneck_size"] > 0, self["bottleneck_size"], self["hidden_size"])

    def _constant(self, name: str) -> int | None:
        axis = self.grid.by_name.get(name)
        if axis is None:
            return self.grid.constants.get(name)
        return axis.values[0] if len(axis.values) == 1 else None

    def _spread(self, column: Integers) -> Integers:
        return np.broadcast_to(column, self.count)


def option_place(name: str, value: object) -> int:
    """Where columns have an option's value, or a size itself."""
    return OPTIONS[name].index(value) if name in OPTIONS else int(value)  # type: ignore[call-overload]
