"""Commands for whoever runs the service: on the machine that reaches its database and its artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _folder(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("it is empty; name a folder, '.' for this one")
    return Path(text)


Home = Annotated[
    Path,
    typer.Option(envvar="STILLHOUSE_HOME", parser=_folder, metavar="PATH", help="Folder of database and artefacts."),
]
Database = Annotated[
    str | None, typer.Option(envvar="STILLHOUSE_DATABASE_URL", help="Database; SQLite in the home by default.")
]
DEFAULT_HOME = Path(".stillhouse")


def backup(
    to: Annotated[Path, typer.Option("--to", parser=_folder, metavar="FOLDER", help="A new or empty folder.")],
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
) -> None:
    """Back up database and artefacts, while studies run."""
    from cli.backup import run_backup

    run_backup(home.expanduser().absolute(), database_url, to.expanduser().absolute())


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The backup.", show_default=False)],
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
) -> None:
    """Fill an empty database and its artefacts from a backup; overwrites nothing."""
    from cli.backup import run_restore

    run_restore(home.expanduser().absolute(), database_url, folder.expanduser().absolute())


def migrate(home: Home = DEFAULT_HOME, database_url: Database = None) -> None:
    """Bring the database up to date; `serve` and `suggest` do so, too, when they start."""
    from cli.backup import run_migration

    run_migration(home.expanduser().absolute(), database_url)
