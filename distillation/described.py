"""Values of ours as they come back from JSON: strictly, with the key of what is wrong."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from distillation.errors import DistillationError


class UnreadableError(DistillationError, ValueError):
    """JSON that is not what a value was written as; the message begins with the key."""


def described(hint: Any, value: object, key: str = "") -> Any:
    """The value of this type that JSON describes: dataclasses, options, tuples, mappings and plain values.

    A key that is left out has its default, where there is one.

    Raises:
        UnreadableError: another type, an unknown or a missing key, or what the value's own checks refuse.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), value, key)
    if origin is tuple:
        return _tuple(get_args(hint), value, key)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(key, "a mapping", value)
        return {name: described(get_args(hint)[1], item, _below(key, name)) for name, item in value.items()}
    if is_dataclass(hint):
        return _dataclass(hint, value, key)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if not isinstance(value, str) or value not in list(hint):
            raise _wrong(key, f"one of {', '.join(hint)}", value)
        return hint(value)
    return _plain(hint, value, key)


def _dataclass(hint: Any, value: object, key: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(key, "a mapping", value)
    hints, known = get_type_hints(hint), {field.name: field for field in fields(hint)}
    for name in value:
        if name not in known:
            raise UnreadableError(f"{_below(key, name)}: is not known")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableError(f"{_below(key, name)}: is missing")
    read = {name: described(hints[name], item, _below(key, name)) for name, item in value.items()}
    return _checked(lambda: hint(**read), key)


def _checked(make: Callable[[], Any], key: str) -> Any:
    try:
        return make()
    except ValueError as error:
        raise UnreadableError(f"{key}: {error}" if key else str(error)) from error


def _one_of(hints: tuple[Any, ...], value: object, key: str) -> Any:
    """The first reading that fits; where none does, what is wrong with the one that goes deepest."""
    problems = []
    for hint in hints:
        try:
            return described(hint, value, key)
        except UnreadableError as error:
            problems.append(error)
    deeper = [error for error in problems if not str(error).startswith(f"{key}: must be ")]
    raise (deeper or [_wrong(key, " or ".join(map(_name, hints)), value)])[0]


def _tuple(hints: tuple[Any, ...], value: object, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(key, "a list", value)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise _wrong(key, f"a list of {len(hints)}", value)
    return tuple(
        described(hint, item, _below(key, at)) for at, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


_PLAIN: Mapping[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    types.NoneType: (types.NoneType,),
}


def _plain(hint: type, value: object, key: str) -> Any:
    # True and false are whole numbers to Python, and to nobody who reads a file.
    if not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(key, _name(hint), value)
    return float(value) if hint is float else value  # type: ignore[arg-type]


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}


def _name(hint: Any) -> str:
    if hint in _NAMES:
        return _NAMES[hint]
    return "a list" if get_origin(hint) is tuple else "a mapping" if is_dataclass(hint) else "an option"


def _wrong(key: str, expected: str, value: object) -> UnreadableError:
    return UnreadableError(f"{key or 'all of it'}: must be {expected}, got {value!r:.60}")


def _below(key: str, part: object) -> str:
    return f"{key}.{part}" if key else str(part)
