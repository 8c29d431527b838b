"""What our processes write to their logs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from cli.errors import BadInputError
from protocol.log_fields import fields_now
from protocol.secrets import MaskedFormatter, masked

FORMAT_VARIABLE = "STILLHOUSE_LOG_FORMAT"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"
    """One JSON object a line, for whatever collects logs."""


def log_to_stderr(environment: Mapping[str, str] = os.environ) -> None:
    """Log as the environment says, as text by default.

    Raises:
        BadInputError: it names another format.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(environment.get(FORMAT_VARIABLE) or LogFormat.TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("httpx", "httpcore", "urllib3", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class TextLines(MaskedFormatter):
    """For people: what the line is about stands behind it, in brackets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the standard library's name)
        line = super().formatMessage(record)
        known = " ".join(f"{name}={value}" for name, value in fields_now().items())
        return f"{line} [{known}]" if known else line


class JsonLines(logging.Formatter):
    """For programs."""

    def format(self, record: logging.LogRecord) -> str:
        words: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **fields_now(),
        }
        if record.exc_info:
            words["exception"] = self.formatException(record.exc_info)
        return masked(json.dumps(words, default=str))


def _formatter(name: str) -> logging.Formatter:
    try:
        chosen = LogFormat(name)
    except ValueError:
        raise BadInputError(f"{FORMAT_VARIABLE}: must be {' or '.join(LogFormat)}, got {name[:40]!r}") from None
    match chosen:
        case LogFormat.TEXT:
            return TextLines()
        case LogFormat.JSON:
            return JsonLines()
        case unreachable:
            assert_never(unreachable)
