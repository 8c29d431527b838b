"""How `--help` looks: whole sentences beside the commands, and words for values in place of types of Python."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def print_version(wanted: bool) -> None:
    """`stillhouse 0.1.0`, and the end."""
    if wanted:
        from importlib.metadata import version  # not while --help is printed

        print(f"stillhouse {version('stillhouse')}")
        raise typer.Exit


class Group(TyperGroup):
    """A group whose commands are told with their whole first paragraph: Typer cuts it to one line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, (each.help or "").partition("\n\n")[0]) for name, each in commands if each and not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Command(TyperCommand):
    """A command whose options say `--kind KIND`, not `--kind <list[str]>`."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        for param in self.params:
            if param.param_type_name == "option" and param.metavar is None and not getattr(param, "is_flag", False):
                param.metavar = param.opts[0].lstrip("-").replace("-", "_").upper()
