"""Typed Python client of the service."""

from client.client import Client
from client.errors import (
    ArtefactError,
    ClientError,
    InvalidAddress,
    InvalidToken,
    ProblemError,
    UnexpectedAnswer,
    Unreachable,
)

__all__ = [
    "ArtefactError",
    "Client",
    "ClientError",
    "InvalidAddress",
    "InvalidToken",
    "ProblemError",
    "UnexpectedAnswer",
    "Unreachable",
]
