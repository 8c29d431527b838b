"""What `stillhouse doctor` shows."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cli.display import make_console, say
from cli.doctor import Findings, examine
from cli.errors import ExitCode
from cli.tables import NONE, new_table


def report(home: Path, url: str, *, as_json: bool) -> ExitCode:
    """Look, and print what was found."""
    found = examine(home, url)
    if as_json:
        print(json.dumps(found.plain(), indent=2))
    else:
        _print(make_console(), found)
    return found.exit_code


def _print(console: Console, found: Findings) -> None:
    machine = found.machine
    quota = "" if machine.core_quota is None else f", limited to {machine.core_quota:g}"
    say(console, "  ".join(f"{name} {version}" for name, version in found.versions.items()))
    say(
        console,
        f"{machine.stamp['system']}  {machine.stamp['cpu']}, {machine.available_cores} cores{quota},"
        f" {machine.memory_bytes / 1e9:.0f} GB of memory",
    )
    for table in (_devices(found), _runtimes(found), _extras(found)):
        console.print(table)
    for extra in found.extras:
        if extra.install is not None:  # as a line, which is not folded: it is copied
            say(console, f"missing  {', '.join(extra.missing)}: {extra.install}")
    say(console, f"home     {found.home.path}: {_home(found)}")
    say(console, f"service  {found.service.url}: {found.service.why or 'answers'}")
    for problem in found.problems:
        say(console, f"problem: {problem}")
    say(console, "this machine cannot run a study yet" if found.problems else "this machine can run a study")


def _devices(found: Findings) -> Table:
    table = new_table("Devices", "device", "there", "")
    for one in found.devices:
        told = one.why or "  ".join(f"{key} {value}" for key, value in one.stamp.items())
        table.add_row(one.device, "yes" if one.why is None else "no", told)
    return table


def _runtimes(found: Findings) -> Table:
    table = new_table("Runtimes", "device", "runtime", "dtypes", "why not")
    for one in found.runtimes:
        table.add_row(one.device, one.runtime, ", ".join(one.dtypes) or NONE, one.why or "")
    return table


def _extras(found: Findings) -> Table:
    table = new_table("Packages", "extra", "installed", "missing")
    for extra in found.extras:
        installed = ", ".join(f"{name} {version}" for name, version in extra.packages.items() if version is not None)
        table.add_row(extra.name, installed or NONE, ", ".join(extra.missing) or NONE)
    return table


def _home(found: Findings) -> str:
    if found.home.why is not None:
        return found.home.why
    state = "there" if found.home.exists else "will be made"
    return f"{state}, {found.home.free_bytes / 1e9:.1f} GB free"
