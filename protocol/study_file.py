"""Study files: YAML to a `StudySpec`, with errors that point at the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocol.errors import StudyFileError
from protocol.study import TAGS, StudySpec

Location = tuple[int | str, ...]


def load_study(path: Path) -> StudySpec:
    """The study that this file describes; without a `name` it has the file's.

    Raises:
        StudyFileError: the file is missing, is not YAML, or does not describe a study; every problem is named with
            its line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_study(text, origin=str(path), default_name=path.stem.lower())


def parse_study(text: str, *, origin: str, default_name: str) -> StudySpec:
    """`load_study` of text; `origin` is what the messages call it."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise StudyFileError(f"{origin}: is empty; a study needs at least `teacher` and `task`")
        for key in _repeated(root):
            raise StudyFileError(f"{origin}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyFileError(f"{origin}:{line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise StudyFileError(f"{origin}:{line}: not YAML: {error.reason}") from error
    if not isinstance(values, dict):
        raise StudyFileError(f"{origin}:1: a study is a mapping of keys to values")
    values.setdefault("name", default_name)
    try:
        return StudySpec.model_validate_json(_as_json(values, origin))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise StudyFileError("\n".join(_explain(problem, root, origin) for problem in problems)) from error


def _as_json(values: object, origin: str) -> str:
    try:
        return json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StudyFileError(
            f"{origin}: holds a value that a study cannot have (a date, no finite number, or itself)"
        ) from error


def _repeated(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Keys that their mapping holds already. An alias may hold itself, so every node is looked at once."""
    nodes, looked_at = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in looked_at:
            continue
        looked_at.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        yield key
                    seen.add(key.value)
                nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def _explain(problem: ErrorDetails, root: yaml.Node, origin: str) -> str:
    location = tuple(part for part in problem["loc"] if part not in TAGS)
    message = problem["msg"].removeprefix("Value error, ")
    message_is_ours = message != problem["msg"]
    key, colon, rest = message.partition(": ")
    if not location and colon and key in StudySpec.model_fields:
        location, message = (key,), rest
    path = ".".join(str(part) for part in location)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = f"unknown key {location[-1]!r}{_meant(location)}"
    elif problem["type"] in ("missing", "missing_argument"):
        message = "is missing"
    elif not message_is_ours and not isinstance(problem["input"], dict | list):
        message = f"{message}, got {problem['input']!r}"
    return f"{origin}:{_line(root, location)}: {path + ': ' if path else ''}{message}"


def _line(node: yaml.Node, location: Location) -> int:
    line = node.start_mark.line + 1
    for part in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _meant(location: Location) -> str:
    known = _keys(location[:-1])
    near = get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""


def _keys(location: Location) -> list[str]:
    """The keys that are known at this place of a study."""
    known: Any = StudySpec
    for part in location:
        known = _inner(known, str(part))
    if isinstance(known, type) and issubclass(known, BaseModel):
        return list(known.model_fields)
    return list(getattr(known, "__dataclass_fields__", {}))


def _inner(owner: Any, name: str) -> Any:
    try:
        hint = get_type_hints(owner).get(name)
    except TypeError:
        return None
    candidates = [hint, *get_args(hint)]
    for candidate in candidates:
        if hasattr(candidate, "__dataclass_fields__") or hasattr(candidate, "model_fields"):
            return candidate
    return None
