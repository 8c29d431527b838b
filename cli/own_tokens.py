"""What a run's own processes are let in by, where the store of its home has tokens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cli.errors import BadInputError, CliError
from client import Client, ProblemError
from protocol.tokens import CreateToken, Scope

LIFE = timedelta(days=1)
"""A run that is killed leaves tokens that are good for no longer than this."""

KEEP_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokens:
    """Empty where nobody asks for them. `keep` is to be called now and then."""

    user: str = ""
    worker: str = ""
    keep: Callable[[], None] = lambda: None


@contextmanager
def own_tokens(address: str, home: Path) -> Iterator[OwnTokens]:
    """Tokens for as long as the block runs, if the service at this address asks for any.

    Raises:
        CliError: they cannot be made. BadInputError: the settings of the home cannot be used.
    """
    if not _are_asked_for(address):
        yield OwnTokens()
        return
    # Only now: the ordinary run needs no store.
    from service.errors import ServiceError, SettingsError, StoreUnavailableError
    from service.operations.tokens import create_token, prolong_token, revoke_token
    from service.settings import Settings
    from service.store.unit_of_work import Store

    try:
        store = Store(Settings.from_environment(home=home).database_url)
        with store.write() as uow:
            made = [create_token(uow, _wanted(scope)) for scope in (Scope.USER, Scope.WORKER)]
    except SettingsError as error:
        raise BadInputError(str(error)) from error
    except ServiceError as error:
        raise CliError(f"the run gets no token of its own: {error}") from error
    kept_s = time.monotonic()

    def keep() -> None:
        nonlocal kept_s
        if time.monotonic() - kept_s > KEEP_S:
            kept_s = time.monotonic()
            with suppress(StoreUnavailableError), store.write() as uow:  # else the next time
                for each in made:
                    prolong_token(uow, each.id, LIFE)

    try:
        user, worker = (each.token for each in made)
        yield OwnTokens(user=user, worker=worker, keep=keep)
    finally:
        with suppress(StoreUnavailableError), store.write() as uow:  # else they end by themselves
            for each in made:
                revoke_token(uow, each.id)
        store.close()


def _wanted(scope: Scope) -> CreateToken:
    return CreateToken(name=f"run {os.getpid()}, {scope}", scope=scope, days=LIFE / timedelta(days=1))


def _are_asked_for(address: str) -> bool:
    with Client(address, token="") as client:
        try:
            client.studies.list()
        except ProblemError as error:
            if error.problem.status == 401:
                return True
            raise
    return False
