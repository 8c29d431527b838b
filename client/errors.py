"""What can go wrong between a client and the service."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from protocol.problem import Problem


class ClientError(Exception):
    """Base of this package's errors."""


class Unreachable(ClientError):  # noqa: N818 (the name says what happened)
    """The service did not answer; the message says what was tried, how often, and what the last attempt met."""


class InvalidAddress(ClientError):  # noqa: N818 (the name says what happened)
    """Text that is no address of a service."""


class InvalidArgument(ClientError, ValueError):  # noqa: N818 (the name says what happened)
    """Something that a call was given and that it cannot be; nothing was sent. The message names it."""


class InvalidToken(ClientError):  # noqa: N818 (the name says what happened)
    """Text that is no token; it is not repeated in the message."""


class ProblemError(ClientError):
    """The service refused; `problem` is its answer, `code` is meant for programs."""

    def __init__(self, problem: Problem) -> None:
        # A detail may tell the first of them already.
        super().__init__("\n".join([problem.detail, *(line for line in problem.errors if line not in problem.detail)]))
        self.problem = problem

    @property
    def code(self) -> str:
        return self.problem.code


class UnexpectedAnswer(ClientError):  # noqa: N818 (the name says what happened)
    """An answer that this version of the client does not understand; is something else listening there?"""


class ArtefactError(ClientError):
    """An artefact that cannot be used: its content is not what its name says, or there is something in its place."""


class StudyFailedError(ClientError):
    """A study that was waited for failed; the message says why."""


class NoSuchFinalistError(ClientError):
    """No finalist is as was asked for; the message says what the nearest one is like."""


class MissingPackage(ClientError):  # noqa: N818 (the name says what happened)
    """A package that only this call needs is not installed; the message says what installs it."""


def installed(package: str, *, extra: str) -> Any:
    """The package, imported now.

    Raises:
        MissingPackage.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingPackage(f"this needs {package}: pip install 'stillhouse[{extra}]' ({error})") from error
