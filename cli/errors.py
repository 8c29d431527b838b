"""What ends a command, and with which exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import assert_never


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    UPGRADE_NEEDED = 3
    """Worker and service are of versions that do not work together: starting again changes nothing."""
    STOPPED = 4
    """Nothing broke: somebody stopped the study while it was followed."""
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """As the reference says it."""
        match self:
            case ExitCode.DONE:
                return "done"
            case ExitCode.FAILED:
                return (
                    "it broke, or it did not come out: a study that failed, a checkpoint that is not reproduced, a"
                    " machine that cannot run a study, a service that does not answer"
                )
            case ExitCode.BAD_INPUT:
                return "what was asked for cannot be done; the message names the key, file or option"
            case ExitCode.UPGRADE_NEEDED:
                return "worker and service are of versions that do not work together; the message says which is older"
            case ExitCode.STOPPED:
                return "somebody stopped the study that was run; the message says how to go on"
            case ExitCode.INTERRUPTED:
                return "interrupted; where something can go on, the message says how"
            case _:
                assert_never(self)


class CliError(Exception):
    """A command that ends with one message on stderr and this code."""

    code = ExitCode.FAILED


class BadInputError(CliError):
    """What was asked for cannot be done; the message names the key, file or option and what to do."""

    code = ExitCode.BAD_INPUT


class ChildError(CliError):
    """A process that the supervisor started keeps dying; the message ends with its log."""


class StoppedError(CliError):
    """Somebody stopped the study; the message says how to go on."""

    code = ExitCode.STOPPED


class VersionError(CliError):
    """The service serves no worker of this version; the message says which of the two must be upgraded."""

    code = ExitCode.UPGRADE_NEEDED
