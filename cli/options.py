"""Arguments and options that several commands have. Imports nothing heavy: `--help` reads all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.names import study_name

HOME_VARIABLE = "STILLHOUSE_HOME"
URL_VARIABLE = "STILLHOUSE_URL"
DATABASE_VARIABLE = "STILLHOUSE_DATABASE_URL"
DEFAULT_URL = "http://127.0.0.1:8787"
DEFAULT_HOME = Path(".stillhouse")


def folder(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("it is empty; name a folder, '.' for this one")
    return Path(text)


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False)]
Name = Annotated[
    str, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False, callback=study_name)
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
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="End when stdin ends.")]
