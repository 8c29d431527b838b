"""Lists in pages: a cursor says after which item the next page begins."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from service.errors import InvalidError

MOST = 1_000
"""Items of one page."""

Place = tuple[str | int | float | None, ...]
"""What items are ordered by: unique, and kept by an item for good."""

Item = TypeVar("Item")

_ANOTHER = "cursor: is of a list in another order; begin without one"


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list; `cursor` leads to the next ones, and is None on the last page."""

    items: tuple[Item, ...]
    cursor: str | None


def page(found: Sequence[Item], limit: int, place: Callable[[Item], Place]) -> Page[Item]:
    """The first `limit` of what was found, where that is one more if another page follows."""
    items = tuple(found[:limit])
    return Page(items, encode(place(items[-1])) if len(found) > limit else None)


def encode(place: Place) -> str:
    """The place as text that nobody should read anything from."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def decode(cursor: str | None, *kinds: type | tuple[type, ...]) -> Place | None:
    """The place that the cursor stands for; None of none. Its parts are of these kinds, or None.

    Raises:
        InvalidError: no list that is ordered like this one gave it.
    """
    if cursor is None:
        return None
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidError("cursor: is none that this service gave; begin without one") from error
    given = place if isinstance(place, list) else []
    fits = [
        part is None or (isinstance(part, kind) and part is not True and part is not False)
        for part, kind in zip(given, kinds, strict=False)
    ]
    if len(given) != len(kinds) or not all(fits):
        raise InvalidError(_ANOTHER)
    return tuple(given)


def decode_instant(cursor: str | None, kind: type) -> tuple[datetime, str | int | float | None] | None:
    """As `decode`, of a list that is ordered by an instant and by this.

    Raises:
        InvalidError: no list that is ordered like this one gave it.
    """
    place = decode(cursor, str, kind)
    if place is None:
        return None
    try:
        instant = datetime.fromisoformat(str(place[0]))
    except ValueError as error:
        raise InvalidError(_ANOTHER) from error
    if instant.tzinfo is None:
        raise InvalidError(_ANOTHER)
    return instant, place[1]
