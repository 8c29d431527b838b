"""Settings from flags, the environment and `stillhouse.toml`, in this order, and where each is from.

The file has a table for each program, with the names of its settings as keys:

    [service]
    port = 8787
    hosts = ["stillhouse.example.org"]

    [worker]
    url = "https://stillhouse.example.org"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from protocol.errors import SettingsFileError
from protocol.secrets import masked

CONFIG_VARIABLE = "STILLHOUSE_CONFIG"
FILE_NAME = "stillhouse.toml"
TABLES = ("service", "worker")


class Kind(StrEnum):
    """How a setting is written."""

    TEXT = "text"
    PATH = "a path"
    WHOLE = "a whole number"
    NUMBER = "a number"
    WORDS = "a list of texts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that a program knows. Its variable is STILLHOUSE_ and the name in capitals; `meaning` is one line."""

    name: str
    kind: Kind = Kind.TEXT
    secret: bool = False
    meaning: str = ""

    @property
    def variable(self) -> str:
        return f"STILLHOUSE_{self.name.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A setting's value; `source` says where it is from."""

    value: Any
    source: str
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFile:
    """`implied` is a file that nobody named: it was found in the home."""

    path: Path
    tables: Mapping[str, Mapping[str, Any]]
    implied: bool


def settings_file(named: Path | None, environment: Mapping[str, str], home: Path) -> SettingsFile | None:
    """The file that is named, or the one in the home if there is one.

    Raises:
        SettingsFileError: a file that is named is not there, or it is none.
    """
    variable = environment.get(CONFIG_VARIABLE)
    path = named or (Path(variable) if variable else None) or home / FILE_NAME
    implied = named is None and not variable
    if implied and not path.is_file():
        return None
    try:
        tables = tomllib.loads(path.expanduser().read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingsFileError(f"the settings in {path} cannot be read: {why}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsFileError(f"{path} is no TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsFileError(f"{path}: {name!r} stands outside of a table; write it below [{TABLES[0]}], say")
        if name not in TABLES:
            raise SettingsFileError(f"{path}: unknown table [{name}]{_meant(name, TABLES)}")
    return SettingsFile(path=path.expanduser().absolute(), tables=tables, implied=implied)


def gathered(
    table: str,
    settings: Sequence[Setting],
    *,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    file: SettingsFile | None,
    defaults: Mapping[str, Any],
) -> dict[str, Found]:
    """Every setting of a program, by name; what is None in `given` was not given.

    Raises:
        SettingsFileError: a value that cannot be used, or a key that nobody knows; names where it stands.
    """
    written = {} if file is None else file.tables.get(table, {})
    names = [setting.name for setting in settings]
    for key in written:
        if key not in names:
            place = "" if file is None else f"{file.path}: "
            raise SettingsFileError(f"{place}[{table}] has the unknown key {key!r}{_meant(key, names)}")
    return {setting.name: _found(setting, given, environment, file, written, defaults) for setting in settings}


def printed(table: str, found: Mapping[str, Found]) -> str:
    """All settings as they could stand in the file, each with its source; secrets are masked."""
    lines = [f"[{table}]"]
    for name, each in found.items():
        if each.value is None or each.value == () or each.value == "":
            lines.append(f"# {name} is not set")
        else:
            lines.append(f"{name} = {_toml(each)}  # {each.source}")
    return "\n".join(lines)


def as_json(found: Mapping[str, Found]) -> dict[str, Any]:
    """All settings with their sources, for programs; secrets are masked."""
    return {name: {"value": _plain(each), "source": each.source} for name, each in found.items()}


def _plain(found: Found) -> Any:
    value = found.value
    if value is None or isinstance(value, int | float):
        return value
    if found.secret:
        return "***" if value else None
    return [masked(str(each)) for each in value] if isinstance(value, tuple) else masked(str(value))


def _found(
    setting: Setting,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    file: SettingsFile | None,
    written: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Found:
    value, source, base = defaults.get(setting.name), "default", Path()
    if given.get(setting.name) is not None:
        return Found(value=given[setting.name], source="command line", secret=setting.secret)
    text = environment.get(setting.variable, "")
    # Kubernetes sets STILLHOUSE_PORT to an address, for every pod beside a service of the name `stillhouse`.
    if text and not text.startswith("tcp://"):
        value, source = _from_text(setting, text), f"environment, {setting.variable}"
    elif file is not None and setting.name in written:
        value, source, base = written[setting.name], f"file {file.path}", file.path.parent
    if source != "default":
        try:
            value = _value(setting.kind, value, base)
        except ValueError as error:
            place = setting.variable if source.startswith("environment") else f"{source}: {setting.name}"
            shown = "" if setting.secret else f", got {masked(repr(value))}"
            raise SettingsFileError(f"{place}: {error}{shown}") from None
    return Found(value=value, source=source, secret=setting.secret)


def _from_text(setting: Setting, text: str) -> Any:
    """A variable's value as the file would have it."""
    match setting.kind:
        case Kind.TEXT | Kind.PATH:
            return text
        case Kind.WORDS:
            return text.split()
        case Kind.WHOLE | Kind.NUMBER:
            try:
                return int(text) if setting.kind is Kind.WHOLE else float(text)
            except ValueError:
                return text
        case unreachable:
            assert_never(unreachable)


def _value(kind: Kind, value: Any, base: Path) -> Any:
    """Raises: ValueError: it is of another kind."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case Kind.TEXT if isinstance(value, str):
            return value
        case Kind.PATH if isinstance(value, str) and value:
            return (base / Path(value).expanduser()).absolute()
        case Kind.WHOLE if number and isinstance(value, int):
            return value
        case Kind.NUMBER if number:
            return float(value)
        case Kind.WORDS if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        case _:
            raise ValueError(f"must be {kind}")


def _toml(found: Found) -> str:
    value = found.value
    if found.secret:
        return '"***"'
    if isinstance(value, tuple):
        return f"[{', '.join(json.dumps(masked(str(each)), ensure_ascii=False) for each in value)}]"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(masked(str(value)), ensure_ascii=False)


def _meant(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
