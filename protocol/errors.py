"""What can be wrong with something a person or a program wrote."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Base of this package's errors."""


class QuantityError(ProtocolError):
    """Text that is no quantity, or one with the wrong unit."""


class StudyFileError(ProtocolError):
    """A study file that cannot be used; the message names file, line, key and what was meant."""


class SettingsFileError(ProtocolError):
    """A setting that cannot be used; the message names it, and the file or variable that it is from."""
