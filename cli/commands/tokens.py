"""`stillhouse token`: who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import scopes
from cli.options import DEFAULT_HOME, Config, Database, Home, Json, given

if TYPE_CHECKING:
    from service.settings import Settings


def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Who will use it.", show_default=False)],
    scope: Annotated[
        str, typer.Option(help="admin, user, worker or read-only.", show_default=False, autocompletion=scopes)
    ],
    days: Annotated[float | None, typer.Option(help="How long it is good; until it is revoked by default.")] = None,
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once. From the first one on, every request needs one."""
    from cli import tokens

    tokens.create(_settings(context, home, database_url, config), name, scope, days, as_json=as_json)


def list_all(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the tokens, without what is secret."""
    from cli import tokens

    tokens.list_all(_settings(context, home, database_url, config), as_json=as_json)


def revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="ID|NAME", help="Its id, or its name.", show_default=False)],
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Revoke a token and the sessions opened with it; it is refused within a second."""
    from cli import tokens

    tokens.revoke(_settings(context, home, database_url, config), token, as_json=as_json)


def _settings(context: typer.Context, home: Path, database_url: str | None, config: Path | None) -> Settings:
    """What says where the tokens are kept."""
    from cli.tokens import settings_of

    return settings_of(given(context, home=home.absolute(), database_url=database_url), config)
