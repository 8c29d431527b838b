"""Files of studies and distillations, targets and architectures: YAML to a spec, with errors that point at the line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import yaml

from hardware.values import DeviceProfile
from protocol.admission import (
    MOST_DEPTH,
    StudyRefusedError,
    admit,
    admit_architecture,
    admit_distillation,
    admit_target,
)
from protocol.distillation import DistillationSpec
from protocol.errors import StudyFileError
from protocol.mistakes import Location, Mistake, cut
from protocol.study import StudySpec
from search_space import Architecture

Spec = TypeVar("Spec")

MOST_BYTES = 1 << 18
"""Largest file; what is larger is no study, and YAML is slow to read."""


def load_study(path: Path) -> StudySpec:
    """The study that this file describes; without a `name` it has the file's.

    Raises:
        StudyFileError: the file is missing, is not YAML, or does not describe a study; every problem is named with
            its line and key.
    """
    return parse_study(_text(path, "study"), origin=str(path), default_name=path.stem.lower())


def parse_study(text: str, *, origin: str, default_name: str) -> StudySpec:
    """`load_study` of text; `origin` is what the messages call it."""
    return _parsed(text, origin, default_name, "study", admit)


def load_distillation(path: Path) -> DistillationSpec:
    """The distillation that this file describes; without a `name` it has the file's. Raises: as `load_study`."""
    return parse_distillation(_text(path, "distillation"), origin=str(path), default_name=path.stem.lower())


def parse_distillation(text: str, *, origin: str, default_name: str) -> DistillationSpec:
    """`load_distillation` of text; `origin` is what the messages call it."""
    return _parsed(text, origin, default_name, "distillation", admit_distillation)


def load_target(path: Path) -> DeviceProfile:
    """The target of this file, a study's or one with nothing else. Raises: as `load_study`."""
    document = _Document(_text(path, "study"), str(path), "target")
    values = document.values
    if not isinstance(values, dict) or "target" not in values:
        raise StudyFileError(f"{path}: has no key `target`; a target is read from a study or another file that has one")
    return _placed(document, lambda: admit_target(values["target"]))


def parse_target(words: str, *, origin: str) -> DeviceProfile:
    """The target in words, `device=cuda,batch=8`: the keys of a study's `target`; `origin` is as for `parse_study`.

    Raises:
        StudyFileError: it names none; every problem is told with its key.
    """
    values: dict[str, object] = {}
    for part in filter(None, (part.strip() for part in words.split(","))):
        key, given, value = (piece.strip() for piece in part.partition("="))
        if not given:
            raise StudyFileError(f"{origin}: {cut(part)!r} is no key=value; write for example device=cpu,batch=8")
        if key in values:
            raise StudyFileError(f"{origin}: {cut(key)!r} is given twice")
        values[key] = _scalar(value)
    try:
        return admit_target(values)
    except StudyRefusedError as error:
        told = (replace(mistake, location=mistake.location[1:]) for mistake in error.mistakes)
        raise StudyFileError("\n".join(f"{origin}: {mistake}" for mistake in told)) from error


def load_architecture(path: Path) -> Architecture:
    """The architecture that this file describes, in the words of a study's baselines. Raises: as `load_study`."""
    return parse_architecture(_text(path, "architecture"), origin=str(path))


def parse_architecture(text: str, *, origin: str) -> Architecture:
    """`load_architecture` of text; `origin` is what the messages call it."""
    document = _Document(text, origin, "architecture")
    return _placed(document, lambda: admit_architecture(document.values), outer="architecture")


def _placed(document: _Document, admit: Callable[[], Spec], outer: str = "") -> Spec:
    """What is admitted; its mistakes have their lines. `outer` is a key that the file does not have."""
    try:
        return admit()
    except StudyRefusedError as error:
        told = [
            replace(mistake, location=mistake.location[1:]) if mistake.location[:1] == (outer,) else mistake
            for mistake in error.mistakes
        ]
        raise StudyFileError("\n".join(map(document.placed, told))) from error


def _text(path: Path, what: str) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise StudyFileError(f"{path}: is no regular file; a {what} is read from one")
        if path.stat().st_size > MOST_BYTES:
            raise StudyFileError(f"{path}: is larger than {MOST_BYTES // 1024} KiB; is it a {what}?")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _parsed(text: str, origin: str, default_name: str, what: str, admit: Callable[[object], Spec]) -> Spec:
    document = _Document(text, origin, what)
    values = document.values
    if not isinstance(values, dict):
        raise StudyFileError(f"{origin}:1: a {what} is a mapping of keys to values, with at least `teacher` and `task`")
    try:
        return admit({"name": default_name, **values})
    except StudyRefusedError as error:
        raise StudyFileError("\n".join(document.placed(mistake) for mistake in error.mistakes)) from error


def line_of(text: str, key: str) -> int | None:
    """The line of a file on which this key is, `budget.trials` or `constraints.0`, or the nearest key around it.

    None where the file has nothing of it, or cannot be read.
    """
    try:
        document = _Document(text, "", "study")
    except StudyFileError:
        return None
    location, line = document.found(tuple(int(part) if part.isdecimal() else part for part in key.split(".")))
    return line if document.has(location[:1]) else None


class _Document:
    """A YAML document as JSON values, and the line of each.

    Plain scalars are read as YAML 1.2 does (`no` is text, 010 is ten, 30e6 is a number). Anchors, aliases and tags are
    refused: nobody needs them, and with them a short text may stand for an endless value.
    """

    def __init__(self, text: str, origin: str, what: str) -> None:
        """`what` it is that the text describes."""
        self._origin = origin
        self._lines: dict[Location, int] = {}
        try:
            events = yaml.parse(text, Loader=yaml.SafeLoader)
            first = next(event for event in events if not isinstance(event, _AROUND))
            if isinstance(first, yaml.StreamEndEvent):
                raise StudyFileError(f"{origin}: is empty; {_LEAST.get(what, 'a mapping is wanted')}")
            self.values = self._value(first, events, ())
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    raise self._error(event, f"a second document begins; a {what} is one")
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise StudyFileError(f"{origin}:{line}: not YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise StudyFileError(f"{origin}:{line}: not YAML: {error.reason}") from error
        except yaml.YAMLError as error:
            raise StudyFileError(f"{origin}: not YAML: {error}") from error

    def placed(self, mistake: Mistake) -> str:
        """The mistake with the line, and the key as the file has it."""
        location, line = self.found(mistake.location)
        found = Mistake(location=location, message=mistake.message)
        from_file = location == ("name",) and location not in self._lines
        hint = "; it is the file's name, for there is no key `name`: add one" if from_file else ""
        return f"{self._origin}:{line}: {found}{hint}"

    def has(self, location: Location) -> bool:
        return location in self._lines

    def found(self, location: Location) -> tuple[Location, int]:
        """The place as the file has it, and the line of the innermost key around it that is there."""
        found: Location = ()
        value, line = self.values, 1
        for part in location:
            if isinstance(value, dict) and isinstance(part, int):
                keys = list(value)
                part = str(part) if str(part) in value else keys[part] if part < len(keys) else part
            found = (*found, part)
            line = self._lines.get(found, line)
            value = _item(value, part)
        return found, line

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], location: Location) -> object:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._error(event, "anchors (&) and aliases (*) are refused; write the value out")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise self._error(event, f"the tag {cut(tag)} is refused; write the plain value")
        if len(location) > MOST_DEPTH:
            raise self._error(event, f"nested too deeply, more than {MOST_DEPTH} times")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, location)
        return self._sequence(events, location)

    def _mapping(self, events: Iterator[yaml.Event], location: Location) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "a key must be text")
            self._value(event, events, location)  # refuses what no key may have either
            if event.value in values:
                raise self._error(event, f"key {cut(event.value)!r} is given twice")
            place = (*location, event.value)
            self._lines[place] = _line(event)
            values[event.value] = self._value(next(events), events, place)
        return values

    def _sequence(self, events: Iterator[yaml.Event], location: Location) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            place = (*location, len(values))
            self._lines[place] = _line(event)
            values.append(self._value(event, events, place))
        return values

    def _error(self, event: yaml.Event, message: str) -> StudyFileError:
        return StudyFileError(f"{self._origin}:{_line(event)}: {message}")


_LEAST = {what: f"a {what} needs at least `teacher` and `task`" for what in ("study", "distillation")}
_AROUND = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
_WORDS = {
    word: value
    for value, words in (
        (None, ("", "~", "null", "Null", "NULL")),
        (True, ("true", "True", "TRUE")),
        (False, ("false", "False", "FALSE")),
    )
    for word in words
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _scalar(text: str) -> object:
    """A plain scalar by the core schema of YAML 1.2, but for 0o and 0x. A whole number may have an exponent: 30e6."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return int(number) if "." not in text and number.is_integer() else number
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _item(value: object, part: int | str) -> object:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
