"""What tokens look like, and text without the secrets in it. The standard library alone: whoever logs may import it."""

from __future__ import annotations

import logging
import re

TOKEN_VARIABLE = "STILLHOUSE_TOKEN"  # noqa: S105 (the variable's name)
TOKEN_PATTERN = r"sth_[0-9a-f]{8}_[A-Za-z0-9_-]{43}"  # noqa: S105 (how they look)
"""`sth_`, eight digits by which a token is known, and 256 random bits."""

_TOKEN = re.compile(r"(sth_[0-9a-f]{8})_[A-Za-z0-9_-]{8,}")
_PASSWORD = re.compile(r"(?<=://)([^\s:/@?#]*):[^\s/]+@")
_PARAMETER = re.compile(r"(?i)([?&](?:password|sslpassword|passwd)=)[^&\s]+")


def masked(text: str) -> str:
    """The text with `***` for what is secret of tokens and of passwords in addresses."""
    text = _TOKEN.sub(r"\1_***", text)
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


class MaskedFormatter(logging.Formatter):
    """Formats a record, its traceback included, and masks what is secret in it."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))
