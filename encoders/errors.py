"""What can go wrong around an encoder."""

MOST_NAMED = 5
"""Tensors that an error names before it only counts."""


class EncoderError(ValueError):
    """Base of this package's errors."""


class UnsupportedModelError(EncoderError):
    """A model that this family of encoders cannot express; the message names its type or the setting."""


class SourceNotFoundError(EncoderError):
    """No such folder, hub model or file; the message names the source."""


class CheckpointError(EncoderError):
    """Weights that do not fit the module, or are in a format that is not read; the message names the tensors."""


class InitialisationError(EncoderError):
    """A student that cannot be cut out of its teacher; the message names the dimension."""


class ExportError(EncoderError):
    """An export that could not be written, or does not compute what the model computes."""


def few(names: list[str]) -> str:
    """The first of these names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def first_line(error: Exception) -> str:
    """Of what another library says, which may be a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
