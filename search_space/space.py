"""The set of architectures that a study may try."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_space.architecture import Activation, Architecture
from search_space.cost import Columns, parameter_columns
from search_space.dimension import Dimension
from search_space.errors import EmptySpaceError, InvalidArchitectureError, SearchSpaceError

SEARCHABLE = ("layers", "hidden_size", "heads", "head_size", "ffn_size")
"""The fields of an architecture that a space may vary, in the order of its columns."""

FIXED = ("vocabulary_size", "max_positions", "token_types")
"""The fields that follow from the teacher's tokenizer."""

MOST_POINTS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The valid points of a grid of dimensions.

    Without a `head_size` dimension the head size is hidden_size / heads, and only points where that divides are valid.
    `at_most` bounds fields of the architecture, or `parameters`: what is known to be too large is left out before
    anything is trained.

    Raises:
        SearchSpaceError: an unknown or missing dimension, a size that no architecture can have, a bound on something
            unknown, or a grid of more than `MOST_POINTS` points.
        EmptySpaceError: no point is valid; the message names what emptied the space.
    """

    dimensions: Mapping[str, Dimension]
    vocabulary_size: int = 30_522
    max_positions: int = 512
    token_types: int = 2
    activation: Activation = Activation.GELU
    at_most: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.dimensions) - set(SEARCHABLE))
        if unknown:
            raise SearchSpaceError(f"unknown dimension {unknown[0]!r}; known are {', '.join(SEARCHABLE)}")
        missing = [name for name in SEARCHABLE if name not in self.dimensions and name != "head_size"]
        if missing:
            raise SearchSpaceError(f"dimension {missing[0]!r} is missing")
        for name, dimension in self.dimensions.items():
            if min(dimension.values) < 1:
                raise SearchSpaceError(f"{name} must be at least 1, got {min(dimension.values)}")
        for name, limit in self.at_most.items():
            if math.isnan(limit):
                raise SearchSpaceError(f"the bound of {name} must be a number, got {limit}")
        grid = math.prod(len(dimension.values) for dimension in self.dimensions.values())
        if grid > MOST_POINTS:
            raise SearchSpaceError(f"the space has {grid:,} grid points, more than {MOST_POINTS:,}: use larger steps")
        if not self.size:
            raise EmptySpaceError(self._what_empties())
        self.architecture(0)

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions' names in canonical order."""
        return tuple(name for name in SEARCHABLE if name in self.dimensions)

    @property
    def size(self) -> int:
        """Number of valid points."""
        return len(self.columns["layers"])

    @cached_property
    def columns(self) -> Columns:
        """All valid points, one int64 array per field of `Architecture` (activation apart).

        Rows are in lexicographic order of `names`, so the points that agree in the first of them are neighbours.
        """
        columns = self._divisible()
        for name, limit in self.at_most.items():
            columns = _keep(columns, _bounded(columns, name) <= limit)
        return columns

    def architecture(self, index: int) -> Architecture:
        """The valid point of this row of `columns`."""
        sizes = {name: int(column[index]) for name, column in self.columns.items()}
        return Architecture(**sizes, activation=self.activation)

    def index(self, architecture: Architecture) -> int | None:
        """The row of `columns` that is this architecture, or None."""
        low, high = 0, self.size
        for name in self.names:
            part = self.columns[name][low:high]
            value = getattr(architecture, name)
            low, high = low + int(np.searchsorted(part, value)), low + int(np.searchsorted(part, value, side="right"))
        return low if low < high and self.architecture(low) == architecture else None

    def __contains__(self, architecture: object) -> bool:
        return isinstance(architecture, Architecture) and self.index(architecture) is not None

    def sample(self, count: int, generator: np.random.Generator) -> list[Architecture]:
        """At most `count` distinct valid points, uniformly."""
        rows = generator.choice(self.size, size=min(count, self.size), replace=False)
        return [self.architecture(int(row)) for row in rows]

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """The valid points one step away along one dimension.

        Raises:
            SearchSpaceError: the architecture is not in the space.
        """
        if architecture not in self:
            raise SearchSpaceError(f"{architecture.label} is not in the search space")
        for name in self.names:
            values = self.dimensions[name].values
            place = values.index(getattr(architecture, name))
            for near in (place - 1, place + 1):
                if 0 <= near < len(values):
                    candidate = self._moved(architecture, name, values[near])
                    if candidate is not None and candidate in self:
                        yield candidate

    def bounded(self, **at_most: float) -> SearchSpace:
        """The part of the space where each of these (fields, or `parameters`) is at most its bound.

        Raises:
            EmptySpaceError: nothing is left; the message names the bound that left nothing.
        """
        tightest = {name: min(limit, self.at_most.get(name, limit)) for name, limit in at_most.items()}
        return replace(self, at_most={**self.at_most, **tightest})

    def within(self, teacher: Architecture) -> SearchSpace:
        """The part of the space that can be sliced from `teacher`.

        Nothing is deeper or wider; vocabulary, positions, types and activation are the teacher's.

        Raises:
            EmptySpaceError: every value of some dimension is beyond the teacher's.
        """
        of_teacher = replace(self, activation=teacher.activation, **{name: getattr(teacher, name) for name in FIXED})
        return of_teacher.bounded(**{name: getattr(teacher, name) for name in SEARCHABLE})

    def _moved(self, architecture: Architecture, name: str, value: int) -> Architecture | None:
        sizes = architecture.to_dict() | {name: value}
        if "head_size" not in self.dimensions:
            sizes["head_size"] = sizes["hidden_size"] // sizes["heads"]
        try:
            return Architecture(**sizes)
        except InvalidArchitectureError:  # more heads than hidden_size: the head size is 0
            return None

    def _divisible(self) -> Columns:
        axes = [np.asarray(self.dimensions[name].values, dtype=np.int64) for name in self.names]
        grid = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
        columns: dict[str, npt.NDArray[np.int64]] = dict(zip(self.names, grid, strict=True))
        for name in FIXED:
            columns[name] = np.full(len(grid[0]), getattr(self, name), dtype=np.int64)
        if "head_size" in columns:
            return columns
        hidden, heads = columns["hidden_size"], columns["heads"]
        columns["head_size"] = hidden // heads
        return _keep(columns, hidden % heads == 0)

    def _what_empties(self) -> str:
        columns = self._divisible()
        if not len(columns["layers"]):
            return (
                "the search space is empty: no hidden_size of "
                f"{list(self.dimensions['hidden_size'].values)} can be divided by a number of heads of "
                f"{list(self.dimensions['heads'].values)}; change one of them or give head_size"
            )
        for name, limit in self.at_most.items():
            values = _bounded(columns, name)
            if values.min() > limit:
                bound = f"{limit:,.0f}" if float(limit).is_integer() else f"{limit:,}"
                return f"no architecture left has {name} <= {bound}; the smallest has {int(values.min()):,}"
            columns = _keep(columns, values <= limit)
        raise AssertionError("the space is not empty")


def _bounded(columns: Columns, name: str) -> npt.NDArray[np.int64]:
    if name == "parameters":
        return parameter_columns(columns)
    if name not in columns:
        raise SearchSpaceError(f"cannot bound {name!r}; known are parameters, {', '.join(columns)}")
    return columns[name]


def _keep(columns: Columns, mask: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[mask] for name, column in columns.items()}
