"""The set of architectures that a study may try."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np
import numpy.typing as npt

from search_space.architecture import LOWEST, OPTIONS, Activation, Architecture, Norm, Pooler
from search_space.cost import Columns, Cost, Integers, cost, cost_columns
from search_space.dimension import Category, Dimension
from search_space.errors import EmptySpaceError, ExpressionError, SearchSpaceError, unknown
from search_space.expression import Expression, parsed
from search_space.grid import COSTS, FIELDS, Axis, Grid, Places, Points, option_place
from search_space.neighbours import neighbour_places
from search_space.rules import Rule, rules_of

SEARCHABLE = (
    "layers",
    "hidden_size",
    "heads",
    "head_size",
    "ffn_size",
    "ffn_stacks",
    "bottleneck_size",
    "attention_input",
    "embedding_size",
    "trigram",
    "norm",
    "activation",
    "pooler",
)
"""The fields of an architecture that a space may vary, in the order of its columns."""

FIXED = ("vocabulary_size", "max_positions", "token_types")
"""The fields that follow from the teacher's tokenizer."""

SLICED = ("layers", "hidden_size", "heads", "head_size", "ffn_size", "ffn_stacks")
"""The sizes of which a block that is sliced from a teacher's can have no more than the teacher."""

MOST_POINTS = 25_000_000
"""Largest grid: every combination is looked at, and every valid point is kept as a number of 4 bytes."""

LARGEST_COST = 2**60
"""Of the largest shape that a space may have: no sum over columns of 64 bits then wraps around."""

CHUNK_ROWS = 1 << 14
"""Points worked on at once: their columns stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The valid points of a grid of dimensions.

    A field that is no dimension, or whose dimension's condition is false, has the default of `Architecture`. A
    dimension of one value fixes its field. Without a `head_size` dimension the head size is hidden_size / heads, or
    bottleneck_size / heads where there is a bottleneck, and only points where that divides are valid.

    Args:
        constraints: expressions over the fields of an architecture and the costs `parameters`, `macs`, `flops`,
            `weight_bytes` and `activation_bytes`, such as `"ffn_size == 4 * hidden_size"` or `"parameters <= 30e6"`;
            every point meets all of them.
        activation, norm, pooler: where no dimension says so; None for the default.
        batch, length, dtype: what the costs are counted for.

    Raises:
        SearchSpaceError: an unknown or missing dimension, a value that no architecture can have, conditions that
            depend on each other in a circle, an expression that cannot be read, or a grid of more than `MOST_POINTS`.
        EmptySpaceError: no point is valid; the message names what emptied the space.
    """

    dimensions: Mapping[str, Dimension]
    constraints: Sequence[str] = ()
    vocabulary_size: int = 30_522
    max_positions: int = 512
    token_types: int = 2
    activation: Activation | None = None
    norm: Norm | None = None
    pooler: Pooler | None = None
    batch: int = 1
    length: int = 128
    dtype: str = "float32"

    def __post_init__(self) -> None:
        given = [self.constraints] if isinstance(self.constraints, str) else self.constraints
        object.__setattr__(self, "constraints", tuple(given))
        self._defaults  # noqa: B018 (checks what is given)
        for name in self.dimensions:
            if name not in SEARCHABLE:
                raise SearchSpaceError(unknown("dimension", name, SEARCHABLE))
            if not isinstance(self.dimensions[name], Dimension):
                raise SearchSpaceError(f"{name} must be a range, a choice or a category, got {self.dimensions[name]!r}")
        for name in SEARCHABLE:
            if name not in self.dimensions and name not in self._defaults and name != "head_size":
                raise SearchSpaceError(f"dimension {name!r} is missing")
        self._check_sizes()
        points = self._grid.size
        if points > MOST_POINTS:
            raise SearchSpaceError(
                f"the space has {points:,} grid points, more than {MOST_POINTS:,}: use larger steps, or fewer values"
            )
        if not self.size:
            raise EmptySpaceError(self._why_empty(), self.grid_points)

    def __getstate__(self) -> dict[str, object]:
        # What was computed is not worth sending: it is large, and made again in less time.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions' names in canonical order."""
        return tuple(name for name in SEARCHABLE if name in self.dimensions)

    @property
    def grid_points(self) -> int:
        """Combinations of the dimensions' values, valid or not."""
        return math.prod(len(dimension.values) for dimension in self.dimensions.values())

    @property
    def size(self) -> int:
        """Number of valid points."""
        return len(self._places)

    @cached_property
    def columns(self) -> Columns:
        """All valid points: one int64 array per field of `Architecture`, of options the place in `OPTIONS`.

        Rows are in lexicographic order of `names`, so the points that agree in the first of them are neighbours. A
        column is computed when it is first looked at.
        """
        return Points(self._grid, self._places)

    def take(self, rows: npt.ArrayLike) -> Points:
        """These rows of `columns`, without computing the others; also knows the costs, by name or as `.cost`."""
        return Points(self._grid, self._places[np.asarray(rows, dtype=np.intp)])

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Points]:
        """All valid points in order, `rows` at a time: the fast way through a large space."""
        for start in range(0, self.size, rows):
            yield Points(self._grid, self._places[start : start + rows])

    def architecture(self, index: int) -> Architecture:
        """The valid point of this row of `columns`."""
        return self._grid.architecture(int(self._places[index]))

    def architectures(self, rows: npt.ArrayLike) -> list[Architecture]:
        """The valid points of these rows of `columns`."""
        # A large sample repeats points, and equal values can be one.
        places, which = np.unique(self._places[np.asarray(rows, dtype=np.intp)], return_inverse=True)
        points = Points(self._grid, places)
        columns: list[list[object]] = []
        for name in FIELDS:
            values = points[name].tolist()
            columns.append([OPTIONS[name][value] for value in values] if name in OPTIONS else values)
        distinct = [Architecture.of_valid(values) for values in zip(*columns, strict=True)]
        return [distinct[place] for place in which.tolist()]

    def index(self, architecture: Architecture) -> int | None:
        """The row of `columns` that is this architecture, or None."""
        if not architecture.is_uniform:
            return None
        place = self._grid.place({name: option_place(name, getattr(architecture, name)) for name in self.names})
        row = None if place is None else self._row(place)
        return row if row is not None and self.architecture(row) == architecture else None

    def __contains__(self, architecture: object) -> bool:
        return isinstance(architecture, Architecture) and self.index(architecture) is not None

    def sample(self, count: int, generator: np.random.Generator, *, distinct: bool = True) -> list[Architecture]:
        """`count` valid points, uniformly; at most all there are if they are to be distinct."""
        return self.architectures(self.sample_rows(count, generator, distinct=distinct))

    def sample_rows(self, count: int, generator: np.random.Generator, *, distinct: bool = True) -> Integers:
        """As `sample`, the rows of `columns`."""
        if distinct:
            return generator.choice(self.size, size=min(count, self.size), replace=False)
        return generator.integers(self.size, size=count)

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """The valid points one step away along one dimension: the next value of a range or an ordered choice, any
        other of a category.

        Where the step makes the condition of another dimension true, that takes each of its values in turn; where it
        makes it false, that takes its default. So a neighbour's neighbours include the point itself.

        Raises:
            SearchSpaceError: the architecture is not in the space.
        """
        yield from self.architectures(self._neighbour_rows(self._known_row(architecture)))

    def mutate(self, architecture: Architecture, generator: np.random.Generator) -> Architecture:
        """A random neighbour; where constraints leave none, a random one of the points that differ in fewest
        dimensions. A space of one point has only itself.

        Raises:
            SearchSpaceError: the architecture is not in the space.
        """
        row = self._known_row(architecture)
        rows = np.asarray(self._neighbour_rows(row), dtype=np.int64)
        if not len(rows):
            rows = self._nearest_rows(row)
        return self.architecture(int(generator.choice(rows)))

    def bounded(self, **at_most: float) -> SearchSpace:
        """The part of the space where each of these (fields, or costs such as `parameters`) is at most its bound.

        Raises:
            SearchSpaceError: a bound on something unknown, or one that is no number.
            EmptySpaceError: nothing is left; the message names the bound that left nothing.
        """
        for name, limit in at_most.items():
            if not limit > -math.inf:
                raise SearchSpaceError(f"the bound of {name} must be a number, got {limit}")
        finite = {name: float(limit) for name, limit in at_most.items() if limit < math.inf}
        return self.constrained(
            *(f"{name} <= {int(limit) if limit.is_integer() else limit}" for name, limit in finite.items())
        )

    def constrained(self, *constraints: str) -> SearchSpace:
        """The part of the space that meets these constraints as well.

        Raises:
            SearchSpaceError: one cannot be read.
            EmptySpaceError: nothing is left; the message names the constraint that left nothing.
        """
        new = [constraint for constraint in dict.fromkeys(constraints) if constraint not in self.constraints]
        return replace(self, constraints=(*self.constraints, *new))

    def within(self, teacher: Architecture) -> SearchSpace:
        """The part of the space that can be initialised from `teacher`.

        Blocks with a bottleneck are sliced from a teacher's with one, those without from a teacher's without: there are
        no more of them and nothing in them is larger (than in its largest layer, where layers differ). Others start
        from random weights, so only the hidden size is bounded. Vocabulary, positions and types are the teacher's, and
        so are activation, norm and pooler where the space says nothing of them.

        Args:
            teacher: without its pooler where the head does not read it.

        Raises:
            EmptySpaceError: nothing is left; the message says why.
        """
        most = {name: _largest(getattr(teacher, name)) for name in SLICED}
        bottlenecks = self._grid.by_name["bottleneck_size"].values if "bottleneck_size" in self.dimensions else (0,)
        if teacher.bottleneck_size:
            most["bottleneck_size"] = teacher.bottleneck_size
            free = "bottleneck_size == 0 or " if 0 in bottlenecks else ""
        else:
            free = "bottleneck_size > 0 or " if bottlenecks != (0,) else ""
        of_teacher = replace(
            self,
            activation=self.activation or teacher.activation,
            norm=self.norm or teacher.norm,
            pooler=self.pooler or teacher.pooler,
            **{name: getattr(teacher, name) for name in FIXED},
        )
        return of_teacher.constrained(
            *(f"{'' if name == 'hidden_size' else free}{name} <= {limit}" for name, limit in most.items())
        )

    # How it is represented: the numbers of the valid points of a grid.

    @cached_property
    def _defaults(self) -> Mapping[str, object]:
        """What fields have that are no dimension; raises where no architecture can have it, or no cost be counted."""
        given = {name: getattr(self, name) for name in (*FIXED, "activation", "norm", "pooler")}
        given = {name: value for name, value in given.items() if value is not None}
        checked = Architecture(layers=1, hidden_size=1, heads=1, head_size=1, ffn_size=1, **given)
        cost(checked, batch=self.batch, length=self.length, dtype=self.dtype)
        has_default = [field.name for field in fields(Architecture) if field.default is not MISSING]
        return {name: getattr(checked, name) for name in dict.fromkeys((*has_default, *FIXED))}

    @cached_property
    def _grid(self) -> Grid:
        axes = tuple(self._axis(name, self.dimensions[name]) for name in self.names)
        conditional = {axis.name: axis.when.names for axis in axes if axis.when is not None}
        try:
            TopologicalSorter(conditional).prepare()
        except CycleError as error:
            circle = " depends on ".join(reversed(error.args[1]))
            raise SearchSpaceError(f"conditions go in a circle: {circle}") from error
        return Grid(
            axes=axes,
            constants={
                name: option_place(name, value) for name, value in self._defaults.items() if name not in self.dimensions
            },
            batch=self.batch,
            length=self.length,
            dtype=self.dtype,
        )

    def _check_sizes(self) -> None:
        most = self._grid.most
        total = cost_columns(most, batch=self.batch, length=self.length, dtype=self.dtype)
        if max(getattr(total, field.name) for field in fields(Cost)) > LARGEST_COST:
            sizes = {name: size for name, size in most.items() if name in self.dimensions or name in FIXED}
            sizes |= {"batch": self.batch, "length": self.length}
            name = max(sizes, key=sizes.__getitem__)
            raise SearchSpaceError(f"too large to be counted: a space with a {name} of up to {sizes[name]:,}")

    def _axis(self, name: str, dimension: Dimension) -> Axis:
        own = _own_values(name, dimension)
        values, when, default = set(own), None, -1
        if dimension.when:
            if name not in self._defaults:
                raise SearchSpaceError(f"{name} cannot have a condition: architectures have no default for it")
            when = self._condition(name, dimension.when)
            default = option_place(name, self._defaults[name])
            values.add(default)
        if name == "embedding_size" and not values.isdisjoint(self.dimensions["hidden_size"].values):
            values.add(0)
        return Axis(name=name, own=own, values=tuple(sorted(values)), default=default, when=when)

    def _condition(self, name: str, text: str) -> Expression:
        known = [other for other in FIELDS if other != "head_size" or other in self.dimensions]
        try:
            return Expression(text, tuple(known))
        except ExpressionError as error:
            raise ExpressionError(f"the condition of {name}: {error}") from error

    @property
    def _rules(self) -> list[Rule]:
        return rules_of(self._grid, parsed(self.constraints, (*FIELDS, *COSTS)))

    @cached_property
    def _places(self) -> Places:
        """The valid points' numbers in the grid, ascending."""
        rules = self._rules
        return np.concatenate([self._valid(points, rules).places for points in self._grid.chunks(CHUNK_ROWS)])

    @staticmethod
    def _valid(points: Points, rules: Sequence[Rule]) -> Points:
        for rule in rules:
            if not points.count:
                break
            points = points.keep(rule.holds(points))
        return points

    def _why_empty(self) -> str:
        for count, rule in enumerate(self._rules, start=1):
            if not any(self._left(count)):
                return rule.why_empty(self._left(count - 1))
        raise AssertionError("the space is not empty")

    def _left(self, count: int) -> Iterator[Points]:
        """What the first `count` rules leave."""
        rules = self._rules[:count]
        left = (self._valid(points, rules) for points in self._grid.chunks(CHUNK_ROWS))
        return (points for points in left if points.count)

    def _row(self, place: int) -> int | None:
        row = int(np.searchsorted(self._places, place))
        return row if row < self.size and self._places[row] == place else None

    def _known_row(self, architecture: Architecture) -> int:
        row = self.index(architecture)
        if row is None:
            raise SearchSpaceError(f"{architecture.label} is not in the search space")
        return row

    def _neighbour_rows(self, row: int) -> list[int]:
        categories = {name for name, dimension in self.dimensions.items() if isinstance(dimension, Category)}
        rows = (self._row(place) for place in neighbour_places(self._grid, int(self._places[row]), categories))
        return [near for near in rows if near is not None]

    def _nearest_rows(self, row: int) -> Integers:
        if self.size == 1:
            return np.zeros(1, dtype=np.int64)
        parts = []
        for points in self.chunks():
            here = self.take([row])
            parts.append(sum((points[name] != here[name] for name in self.names), np.zeros(points.count, np.int64)))
        differing = np.concatenate(parts)
        differing[row] = len(self.names) + 1
        return np.flatnonzero(differing == differing.min())


def _own_values(name: str, dimension: Dimension) -> tuple[int, ...]:
    """The dimension's values as columns hold them, ascending."""
    if name in OPTIONS:
        if not isinstance(dimension, Category):
            raise SearchSpaceError(f"{name} is an option, not a size: give a category of {_options(name)}")
        known = OPTIONS[name]
        for value in dimension.values:
            if not any(value == option and isinstance(value, bool) is isinstance(option, bool) for option in known):
                raise SearchSpaceError(f"{name}: {unknown('value', str(value), map(str, known))}")
        return tuple(sorted(option_place(name, value) for value in dimension.values))
    if isinstance(dimension, Category):
        raise SearchSpaceError(f"{name} is a size: give a range or a choice of integers, not a category")
    lowest = LOWEST[name] if name in ("bottleneck_size", "embedding_size") else 1
    if min(dimension.values) < lowest:
        raise SearchSpaceError(f"{name} must be at least {lowest}, got {min(dimension.values)}")
    return dimension.values


def _options(name: str) -> str:
    return ", ".join(str(value) for value in OPTIONS[name])


def _largest(size: int | tuple[int, ...]) -> int:
    return max(size) if isinstance(size, tuple) else size
