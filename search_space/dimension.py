"""One axis of a search space."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.errors import SearchSpaceError

MOST_VALUES = 10_000
"""Most values of one dimension: keeps a mistyped bound from filling the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerRange:
    """The integers low, low + step, ... up to and including high where the step meets it."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
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
    """Ordered choices, kept in ascending order."""

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise SearchSpaceError("a choice needs at least one value")
        if len(set(self.values)) != len(self.values):
            raise SearchSpaceError(f"a choice repeats a value: {list(self.values)}")
        object.__setattr__(self, "values", tuple(sorted(self.values)))


Dimension = IntegerRange | Choice
