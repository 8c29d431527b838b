"""Typed Python client of the service."""

from client.asked import AskedTrial
from client.client import Client
from client.errors import (
    ArtefactError,
    ClientError,
    InvalidAddress,
    InvalidArgument,
    InvalidToken,
    MissingPackage,
    NoSuchFinalistError,
    ProblemError,
    StudyFailedError,
    UnexpectedAnswer,
    Unreachable,
)
from client.finalist import Finalist
from client.study import Study

__all__ = [
    "ArtefactError",
    "AskedTrial",
    "Client",
    "ClientError",
    "Finalist",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidToken",
    "MissingPackage",
    "NoSuchFinalistError",
    "ProblemError",
    "Study",
    "StudyFailedError",
    "UnexpectedAnswer",
    "Unreachable",
]
