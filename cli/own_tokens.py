"""What a run's own processes are let in by, where the store of its home has tokens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

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
    """Tokens for as long as the block runs, if the service at this address asks for any."""
    if not _are_asked_for(address):
        yield OwnTokens()
        return
    # Only now: the ordinary run needs no store.
    from service.operations.tokens import create_token, prolong_token, revoke_token
    from service.settings import Settings
    from service.store.unit_of_work import Store

    store = Store(Settings.from_environment(home=home).database_url)
    kept_s = time.monotonic()

    def keep() -> None:
        nonlocal kept_s
        if time.monotonic() - kept_s > KEEP_S:
            kept_s = time.monotonic()
            with store.write() as uow:
                for each in made:
                    prolong_token(uow, each.id, LIFE)

    try:
        with store.write() as uow:
            made = [
                create_token(
                    uow, CreateToken(name=f"run {os.getpid()}, {scope}", scope=scope, days=LIFE / timedelta(days=1))
                )
                for scope in (Scope.USER, Scope.WORKER)
            ]
        try:
            user, worker = (each.token for each in made)
            yield OwnTokens(user=user, worker=worker, keep=keep)
        finally:
            with store.write() as uow:
                for each in made:
                    revoke_token(uow, each.id)
    finally:
        store.close()


def _are_asked_for(address: str) -> bool:
    with Client(address, token="") as client:
        try:
            client.studies.list()
        except ProblemError as error:
            if error.problem.status == 401:
                return True
            raise
    return False
