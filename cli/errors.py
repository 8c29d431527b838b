"""What ends a command, and with which exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import assert_never


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
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
            case ExitCode.INTERRUPTED:
                return "interrupted; the message says how to go on"
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
