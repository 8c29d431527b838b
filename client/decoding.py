"""Answers of the service as the protocol's models."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from client.errors import UnexpectedAnswer

Answer = TypeVar("Answer")


def decoded(kind: type[Answer], response: httpx.Response) -> Answer:
    """The answer's body as a `kind`.

    Raises:
        UnexpectedAnswer: it is none; client and service are of different versions, or it is another service.
    """
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnexpectedAnswer(
            f"{response.request.method} {response.request.url} answered something else than expected"
            f" ({place or 'body'}: {first['msg']}); client and service may be of different versions"
        ) from error
