"""The reference of the settings, from the tables that service and worker read them by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from cli.heartbeat import VARIABLE as HEARTBEAT_VARIABLE
from cli.logs import FORMAT_VARIABLE
from cli.main import app
from cli.reference.markdown import code, table
from hardware.lock import DIRECTORY_VARIABLE
from hardware.tpu.estimator import FOLDER_VARIABLE
from protocol.settings_file import CONFIG_VARIABLE, Found, Kind, Setting
from service.settings import SETTINGS as SERVICE
from service.settings import Settings
from worker.settings import SETTINGS as WORKER
from worker.settings import WorkerSettings

HEAD = """\
# Settings

Written by `python -m cli.reference settings.md` from the tables that the programs read. A flag comes before the
environment, that before the file, that before the default. The file is the one that `--config` or `STILLHOUSE_CONFIG`
names, else `stillhouse.toml` in the home; a path in it is relative to it. Lists are words in a variable, arrays in the
file.
`stillhouse serve --print-config` and `stillhouse worker --print-config` print every setting and where it is from.

```toml
[service]
port = 8787

[worker]
url = "http://127.0.0.1:8787"
```
"""

ALONE = {
    CONFIG_VARIABLE: "the file of these settings",
    FORMAT_VARIABLE: "`text`, or `json` for logs of one object a line",
    HEARTBEAT_VARIABLE: "a file that worker and suggester touch, for health checks",
    DIRECTORY_VARIABLE: "folder of the locks that keep measurements apart; all processes of a machine need the same",
    FOLDER_VARIABLE: "folder of what was compiled for TPUs that are not there; `~/.cache/stillhouse/tpu` by default",
}
"""Variables that are no setting of a program."""

INSTEAD = {
    "home": "`.stillhouse`",
    "database_url": "SQLite in the home",
    "name": "host and process",
    "token": "",
}
"""Defaults that depend on where they are asked for."""


def reference() -> str:
    """The whole page, in Markdown."""
    lines = [HEAD]
    for title, command, settings, found in (
        ("[service]", "serve", SERVICE, Settings.found({})),
        ("[worker]", "worker", WORKER, WorkerSettings.found({})),
    ):
        lines += [f"## `{title}`\n", *_settings(settings, found, _flags(command))]
    lines += ["The command line takes `STILLHOUSE_URL`, `STILLHOUSE_TOKEN` and `STILLHOUSE_HOME` as well.\n"]
    lines += ["## Variables alone\n"]
    lines += table(["variable", "meaning"], ([code(name), meaning] for name, meaning in ALONE.items()))
    return "\n".join(lines).rstrip() + "\n"


def _settings(settings: Sequence[Setting], found: Mapping[str, Found], flags: Mapping[str, str]) -> Iterator[str]:
    rows = (
        [
            code(setting.name),
            code(setting.variable),
            code(flags.get(setting.name, "")),
            setting.kind.value,
            INSTEAD.get(setting.name, _default(setting, found[setting.name].value)),
            setting.meaning,
        ]
        for setting in settings
    )
    yield from table(["key", "variable", "flag", "value", "default", "meaning"], rows)


def _flags(command: str) -> dict[str, str]:
    """The flag of each setting that the command has one for."""
    group: Any = typer.main.get_command(app)
    return {param.name: param.opts[0] for param in group.commands[command].params}


def _default(setting: Setting, value: Any) -> str:
    if value is None or value == ():
        return ""
    if setting.kind is Kind.WORDS:
        return " ".join(code(word) for word in value)
    return code(f"{value:g}" if isinstance(value, float) else value)
