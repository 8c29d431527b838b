"""One axis of a search space."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.errors import SearchSpaceError

MOST_VALUES = 10_000
"""Most values of one dimension: keeps a mistyped bound from filling the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerRange:
    """The integers low, low + step, ... up to and including high where the step meets it.

    Args:
        when: an expression over other dimensions, such as `"hidden_size >= 256"`; where it is false the dimension does
            not exist, and the architecture has its default. Empty for a dimension that always exists.
    """

    low: int
    high: int
    step: int = 1
    when: str = ""

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            _integer(f"the {name} of a range", getattr(self, name))
        if self.step < 1:
            raise SearchSpaceError(f"step must be at least 1, got {self.step}")
        if self.high < self.low:
            raise SearchSpaceError(f"empty range: high {self.high} is below low {self.low}")
        count = (self.high - self.low) // self.step + 1
        if count > MOST_VALUES:
            raise SearchSpaceError(f"a range of {count:,} values, more than {MOST_VALUES:,}: use a larger step")

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Ordered choices, kept in ascending order; `when` as of `IntegerRange`."""

    values: tuple[int, ...]
    when: str = ""

    def __post_init__(self) -> None:
        _distinct("choice", self.values)
        for value in self.values:
            _integer("a choice", value)
        object.__setattr__(self, "values", tuple(sorted(self.values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """Options without an order, such as norms or activations; `when` as of `IntegerRange`."""

    values: tuple[str | bool, ...]
    when: str = ""

    def __post_init__(self) -> None:
        _distinct("category", self.values)
        object.__setattr__(self, "values", tuple(self.values))


Dimension = IntegerRange | Choice | Category


def _distinct(what: str, values: tuple[object, ...]) -> None:
    if not values:
        raise SearchSpaceError(f"a {what} needs at least one value")
    if len(set(values)) != len(values):
        raise SearchSpaceError(f"a {what} repeats a value: {list(values)}")


def _integer(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SearchSpaceError(f"{what} must be an integer, got {value!r}")
