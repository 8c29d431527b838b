"""What is wrong with something that was sent or written, key by key, in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from protocol.shorthand import NAME_PATTERN, TAGS

Location = tuple[int | str, ...]

LONGEST_SHOWN = 60
"""How much of a value a message repeats."""


MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """`location` are the keys and positions that lead to what is wrong."""

    location: Location
    message: str

    def __str__(self) -> str:
        path = ".".join(cut(str(part)) for part in self.location)
        return f"{path}: {self.message}" if path else self.message


def explained(problems: Sequence[ErrorDetails], root: type | None = None, skip: int = 0) -> list[Mistake]:
    """The mistakes that pydantic found, `MOST_TOLD` of them; `root` is what was to be read, and `skip` parts of the
    locations are not told.
    """
    # What may be written in several ways is wrong in each of them: the first, and commonest, is told.
    firsts = list({_location(problem, skip): problem for problem in reversed(problems)}.values())[::-1]
    told = [_explained(problem, root, skip) for problem in firsts[:MOST_TOLD]]
    more = len(firsts) - len(told)
    return [*told, Mistake(location=(), message=f"and {more} more mistakes")] if more else told


def _explained(problem: ErrorDetails, root: type | None, skip: int) -> Mistake:
    location = _location(problem, skip)
    kind = problem["type"]
    if kind == "value_error":
        return _ours(location, problem["msg"].removeprefix("Value error, "), root)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        key = location[-1] if location else ""
        return Mistake(location=location, message=f"unknown key {shown(key)}{_meant(location, root)}")
    if kind in ("missing", "missing_argument"):
        return Mistake(location=location, message="is missing")
    words = _words(kind, problem, _keys(root, location))
    if location in _ALSO_TEXT or location[:-1] == ("baselines",):
        words = words.replace("must be a ", "must be text, or a ")
    return Mistake(location=location, message=f"{words}, got {shown(problem['input'])}{_near(problem)}")


def _location(problem: ErrorDetails, skip: int) -> Location:
    """The keys and positions that a user wrote: pydantic adds the names of types where there are several."""
    parts = (part for part in problem["loc"][skip:] if part not in TAGS and not _TYPE.match(str(part)))
    return tuple(_WRITTEN.get(part, part) for part in parts)


def shown(value: object) -> str:
    """The value as a message repeats it."""
    return cut(repr(value) if isinstance(value, str) else json.dumps(value, default=repr))


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


_WRITTEN: Mapping[int | str, str] = {"lambda_": "lambda"}
"""Keys that are no names in Python."""

_TYPE = re.compile(r"`?(str-enum|tuple)\[")

_ALSO_TEXT: set[Location] = {
    ("teacher",),
    ("task", "dataset"),
    ("task", "text"),
    ("search_space",),
    ("distillation",),
    ("distillation", "schedule"),
    ("student",),
}
"""Where a name may be given instead."""

_PLAIN = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list",
    "list": "must be a list",
}
"""By the first word of pydantic's types of errors."""

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be above"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be below"),
}


def _words(kind: str, problem: ErrorDetails, keys: list[str]) -> str:
    context: Mapping[str, Any] = problem.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]:,}"
    if kind in ("enum", "literal_error"):
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        if context["pattern"] == NAME_PATTERN:
            return "must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
        return f"must match {context['pattern']}"
    if kind in ("dict_type", "model_type", "model_attributes_type", "dataclass_type"):
        return "must be a mapping" + (f" with some of the keys {', '.join(keys)}" if keys else "")
    first = kind.partition("_")[0]
    if first in _PLAIN and kind.endswith(("_type", "_parsing", "_from_float", "_number", "_size")):
        return _PLAIN[first]
    return problem["msg"][:1].lower() + problem["msg"][1:]


def _near(problem: ErrorDetails) -> str:
    expected = re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))
    near = get_close_matches(problem["input"], expected, n=1) if isinstance(problem["input"], str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _ours(location: Location, message: str, root: type | None) -> Mistake:
    """A value's own complaint: it begins with a path below `root`, or with the key that is wrong."""
    path = re.match(r"([a-z_]+(?:\.[\w-]+)*): ", message)
    if not location and path is not None and path[1].split(".")[0] in _keys(root, ()):
        parts = tuple(int(part) if part.isdigit() else part for part in path[1].split("."))
        return Mistake(location=parts, message=message[path.end() :])
    key, space, rest = message.partition(" ")
    if space and key in _keys(root, location):
        return Mistake(location=(*location, key), message=rest)
    return Mistake(location=location, message=message)


def _meant(location: Location, root: type | None) -> str:
    if root is None:
        return ""
    known = _keys(root, location[:-1])
    # A key of another place is suggested with its path: `budget.trials` for `trails`.
    places = {path.rpartition(".")[2]: path for path in _all_keys(root)} | {key: key for key in known}
    # One of this place that is quite like it comes first: `sparsity` is a key elsewhere, and `sparsities` is one here.
    key = str(location[-1])
    near = get_close_matches(key, known, n=1, cutoff=0.75) or get_close_matches(key, places, n=1)
    if near:
        return f"; did you mean {places[near[0]]!r}?"
    return f"; known are {', '.join(known)}" if known else ""


def _all_keys(owner: Any, path: str = "") -> Iterator[str]:
    for key in _keys(owner, ()):
        yield f"{path}{key}"
        inner = _inner(owner, key)
        if inner is not None:
            yield from _all_keys(inner, f"{path}{key}.")


def _keys(root: Any, location: Location) -> list[str]:
    """The keys that are known at this place."""
    known: Any = root
    for part in location:
        known = _inner(known, str(part))
    if isinstance(known, type) and issubclass(known, BaseModel):
        return list(known.model_fields)
    return [_WRITTEN.get(name, name) for name in getattr(known, "__dataclass_fields__", {})]


def _inner(owner: Any, name: str) -> Any:
    """What is at this key: a class with fields, a `dict[str, ...]` whose keys are anybody's choice, or None."""
    try:
        hint = get_args(owner)[1] if get_origin(owner) is dict else get_type_hints(owner).get(name)
    except TypeError:
        return None
    if get_origin(hint) is dict:
        return hint
    for candidate in (hint, *get_args(hint)):
        if hasattr(candidate, "__dataclass_fields__") or hasattr(candidate, "model_fields"):
            return candidate
    return None
