"""Commands for whoever runs the service: on the machine that reaches its database and its artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_HOME, Database, Home, Json, folder


def backup(
    to: Annotated[Path, typer.Option("--to", parser=folder, metavar="FOLDER", help="A new or empty folder.")],
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    as_json: Json = False,
) -> None:
    """Back up database and artefacts, while studies run."""
    from cli.backup import run_backup

    run_backup(home.absolute(), database_url, to.absolute(), as_json=as_json)


def restore(
    backup_folder: Annotated[
        Path, typer.Argument(parser=folder, metavar="FOLDER", help="The backup.", show_default=False)
    ],
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    as_json: Json = False,
) -> None:
    """Fill an empty database and its artefacts from a backup; overwrites nothing."""
    from cli.backup import run_restore

    run_restore(home.absolute(), database_url, backup_folder.absolute(), as_json=as_json)


def migrate(home: Home = DEFAULT_HOME, database_url: Database = None, as_json: Json = False) -> None:
    """Bring the database up to date; `serve` and `suggest` do so, too, when they start."""
    from cli.backup import run_migration

    run_migration(home.absolute(), database_url, as_json=as_json)
