"""What can be wrong with an architecture or a search space."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SearchSpaceError(ValueError):
    """Base of this package's errors."""


class InvalidArchitectureError(SearchSpaceError):
    """A shape that no encoder can have."""


class ExpressionError(SearchSpaceError):
    """A condition or constraint that cannot be read, or cannot be computed; the message quotes it."""


class EmptySpaceError(SearchSpaceError):
    """No valid architecture is left; the message says what emptied the space.

    Args:
        grid_points: combinations of the dimensions' values, none of which is valid.
    """

    def __init__(self, message: str, grid_points: int = 0) -> None:
        super().__init__(message)
        self.grid_points = grid_points


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not known: suggests the nearest, and lists all."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {name!r}{meant}; known are {', '.join(names)}"
