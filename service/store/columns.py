"""Column types: typed JSON, instants, and closed sets."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, Integer, Text, TypeDecorator

# ruff: noqa: ARG002 (the dialect is an argument of SQLAlchemy's)


class Json(TypeDecorator[Any]):
    """A value of `kind` (a model, a dataclass, a tuple of them, ...), stored as JSON and checked when it is read."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._adapter = _adapter(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self._adapter.dump_python(value, mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self._adapter.validate_python(value)


class Frozen(Json):
    """`Json` of a value that is dear to check and seldom differs: read again, the same text is the same value.

    A study's specification counts its search space when it is checked, and is read with every job of the study.
    """

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else _known(self.kind, json.dumps(value))


class Instant(TypeDecorator[datetime]):
    """An aware instant, in UTC whatever the database makes of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone, got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text. NUL, which PostgreSQL cannot store and a broken message may hold, becomes the replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\ufffd")


Identity = BigInteger().with_variant(Integer, "sqlite")
"""Row numbers; SQLite counts up only what it calls INTEGER."""


def _values(kind: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in kind]


ClosedSet = Enum(enum.Enum, native_enum=False, length=16, values_callable=_values)
"""A StrEnum, stored as its text: a new member needs no migration."""


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@lru_cache(maxsize=128)
def _known(kind: Any, text: str) -> Any:
    check: Callable[[str], Any] = _adapter(kind).validate_json
    return check(text)
