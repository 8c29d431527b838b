"""What can be wrong with what this package is asked."""

from optimization.deadline import PastDeadlineError


class OptimizationError(ValueError):
    """Base of this package's errors."""


def reason_of(error: Exception) -> str:
    """A line for `Suggestion.fallback`: the time was over, or what went wrong inside a library."""
    if isinstance(error, PastDeadlineError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
