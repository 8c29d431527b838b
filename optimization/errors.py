"""What can be wrong with what this package is asked."""


class OptimizationError(ValueError):
    """Base of this package's errors."""
