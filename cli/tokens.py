"""`stillhouse token`: who may come in, written straight into the store of the home."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from cli.display import make_console
from cli.errors import BadInputError, CliError
from cli.home import open_home
from cli.tables import NONE, new_table
from protocol.mistakes import explained
from protocol.secrets import TOKEN_VARIABLE
from protocol.tokens import CreateToken, TokenState, TokenView
from service.errors import RequestError, ServiceError, SettingsError, StoreUnusableError
from service.operations import tokens
from service.settings import Settings
from service.store.migrate import upgrade
from service.store.unit_of_work import Store

VIEWS = TypeAdapter(tuple[TokenView, ...])


def create(settings: Settings, name: str, scope: str, days: float | None, *, as_json: bool) -> None:
    """Prints the token alone on stdout, so that a script can keep it."""
    try:
        message = CreateToken.model_validate({"name": name, "scope": scope, "days": days})
    except ValidationError as error:
        raise BadInputError("\n".join(str(mistake) for mistake in explained(error.errors(), CreateToken))) from error
    with _store(settings) as store, store.write() as uow:
        first = not uow.tokens.all()
        created = tokens.create_token(uow, message)
    print(created.model_dump_json(indent=2) if as_json else created.token)
    until = "until it is revoked" if created.expires_at is None else f"until {_day(created.expires_at)}"
    note = (
        f"{created.scope} token {created.id} is good {until}; it is shown only now: keep it, and set {TOKEN_VARIABLE}"
    )
    if first:
        note += "\nIt is this service's first: from now on every request needs one, on this machine too"
    print(note, file=sys.stderr)


def list_all(settings: Settings, *, as_json: bool) -> None:
    with _store(settings) as store, store.read() as uow:
        found = tokens.list_tokens(uow)
    if as_json:
        print(VIEWS.dump_json(found, indent=2).decode())
    else:
        make_console().print(_table(found))


def revoke(settings: Settings, which: str, *, as_json: bool) -> None:
    """Of the token of this id, or of the one in use of this name."""
    with _store(settings) as store, store.write() as uow:
        found = tokens.list_tokens(uow)
        named = [each.id for each in found if each.name == which and each.state is TokenState.ACTIVE]
        view = tokens.revoke_token(uow, named[0] if named else which)
    print(view.model_dump_json(indent=2) if as_json else f"token {view.id} ({view.name}) is revoked")


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    try:
        open_home(settings.home)
        upgrade(settings.database_url)
        store = Store(settings.database_url)
        try:
            yield store
        finally:
            store.close()
    except (SettingsError, StoreUnusableError) as error:
        raise BadInputError(str(error)) from error
    except RequestError as error:
        raise (BadInputError if error.status < 500 else CliError)(str(error)) from error
    except ServiceError as error:
        raise CliError(str(error)) from error


def settings_of(given: Mapping[str, Any], config: Path | None) -> Settings:
    try:
        return Settings.from_environment(config=config, **given)
    except SettingsError as error:
        raise BadInputError(str(error)) from error


def _table(found: Sequence[TokenView]) -> Table:
    table = new_table("", "token", "name", "scope", "state", "created", "expires", "last used")
    for each in found:
        days = (_day(each.created_at), _day(each.expires_at), _day(each.last_used_at))
        table.add_row(each.id, each.name, each.scope, each.state, *days)
    return table


def _day(instant: datetime | None) -> str:
    return NONE if instant is None else instant.strftime("%Y-%m-%d %H:%M")
