"""What a call is given by people, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from client.errors import InvalidArgument
from protocol.mistakes import explained, shown
from protocol.shorthand import NAME_PATTERN

Made = TypeVar("Made")


def made(make: Callable[[], Made], what: str = "") -> Made:
    """What `make` makes of arguments; `what` leads the message where they alone do not tell.

    Raises:
        InvalidArgument.
    """
    lead = f"{what}: " if what else ""
    try:
        return make()
    except ValidationError as error:
        mistakes = explained(error.errors(include_url=False))
        raise InvalidArgument("\n".join(f"{lead}{mistake}" for mistake in mistakes)) from error
    except (ValueError, TypeError, PydanticSerializationError) as error:
        raise InvalidArgument(f"{lead}{error}") from error


def study_name(name: object) -> str:
    """The name, if it can be one.

    Raises:
        InvalidArgument: no study can have it.
    """
    if not isinstance(name, str) or re.fullmatch(NAME_PATTERN, name) is None:
        raise InvalidArgument(f"{shown(name)} is not the name of a study: 1 to 64 of a-z, 0-9, '.', '_' and '-'")
    return name


def several(texts: Iterable[str]) -> Iterable[str]:
    """The texts, or the only one: a text is not taken for its letters."""
    return (texts,) if isinstance(texts, str) else texts
