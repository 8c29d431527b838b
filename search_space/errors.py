"""What can be wrong with an architecture or a search space."""


class SearchSpaceError(ValueError):
    """Base of this package's errors."""


class InvalidArchitectureError(SearchSpaceError):
    """A shape that no encoder can have."""


class EmptySpaceError(SearchSpaceError):
    """No valid architecture is left; the message says what emptied the space."""
