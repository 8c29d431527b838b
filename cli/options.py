"""Arguments and options that several commands have. Imports nothing heavy: `--help` reads all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.completion import study_names
from cli.names import study_name
from cli.paths import expanded

HOME_VARIABLE = "STILLHOUSE_HOME"
URL_VARIABLE = "STILLHOUSE_URL"
DATABASE_VARIABLE = "STILLHOUSE_DATABASE_URL"
DEFAULT_URL = "http://127.0.0.1:8787"
DEFAULT_HOME = Path(".stillhouse")


def folder(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("it is empty; name a folder, '.' for this one")
    return expanded(text)


def file(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("it is empty; name a file")
    return expanded(text)


StudyFile = Annotated[
    Path, typer.Argument(parser=file, metavar="STUDY.yaml", help="The study file.", show_default=False)
]
Name = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="The study's name.",
        show_default=False,
        callback=study_name,
        autocompletion=study_names,
    ),
]
Home = Annotated[
    Path,
    typer.Option(
        envvar=HOME_VARIABLE,
        parser=folder,
        metavar="PATH",
        help="Folder of the database, artefacts, exports and logs.",
    ),
]
Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="Address of the service.")]
Database = Annotated[
    str | None, typer.Option(envvar=DATABASE_VARIABLE, help="Database; SQLite in the home by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print what happens as JSON lines, for programs.")]
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="End when stdin ends.")]
Config = Annotated[
    Path | None,
    typer.Option(
        parser=file,
        metavar="FILE",
        help="Settings in TOML; STILLHOUSE_CONFIG, or stillhouse.toml in the home, by default.",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print every setting and where it is from; start nothing.")
]


def given(context: typer.Context, **values: Any) -> dict[str, Any]:
    """What stands on the command line; environment and file are read where all settings of a program are."""
    return {
        name: value
        for name, value in values.items()
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
