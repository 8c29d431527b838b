"""What ends a command, and with which exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    UPGRADE_NEEDED = 3
    """Worker and service are of versions that do not work together: starting again changes nothing."""
    INTERRUPTED = 130


class CliError(Exception):
    """A command that ends with one message on stderr and this code."""

    code = ExitCode.FAILED


class BadInputError(CliError):
    """What was asked for cannot be done; the message names the key, file or option and what to do."""

    code = ExitCode.BAD_INPUT


class ChildError(CliError):
    """A process that the supervisor started keeps dying; the message ends with its log."""


class VersionError(CliError):
    """The service serves no worker of this version; the message says which of the two must be upgraded."""

    code = ExitCode.UPGRADE_NEEDED
