"""Who asks: the tokens of the store, held in memory so that a request costs no query."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil

from starlette.concurrency import run_in_threadpool

from protocol.mistakes import cut
from protocol.secrets import TOKEN_PATTERN
from protocol.tokens import TokenState
from service.api.failure_limit import FailureLimit
from service.clock import Clock
from service.errors import StoreUnavailableError, TokenEndedError, TokenUnknownError, TooManyFailuresError
from service.operations.tokens import digest_of, state_of
from service.principal import Principal
from service.store.tables import TokenRow
from service.store.unit_of_work import Store

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=1)
"""How long after it a revocation, here or at another replica, may go unnoticed."""

USE_NOTED = timedelta(minutes=10)
"""A token's last use is written down no more often: a write for every request would cost more than the request."""

_ENDED = {TokenState.EXPIRED: "has expired", TokenState.REVOKED: "was revoked"}


class Keyring:
    """The tokens of one store. It is open, and asks nobody for a token, only on loopback and while the store has never
    had one: a token that expires or is revoked opens no door.

    Raises:
        StoreUnavailableError: they cannot be read.
    """

    def __init__(self, store: Store, clock: Clock, *, loopback: bool, failures: FailureLimit) -> None:
        self._store, self._clock, self._loopback, self._failures = store, clock, loopback, failures
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}
        self._rereading = False
        self._tokens: Mapping[str, TokenRow]
        self._read_at: datetime
        self.read()

    @property
    def is_open(self) -> bool:
        return self._loopback and not self._tokens

    async def refresh(self) -> None:
        """Reads the tokens again if that was a while ago: where many ask, one of them does it for all in good time.

        While the store cannot be read, the last known ones are good for what needs no store, such as metrics.
        """
        now = self._clock()
        if timedelta() <= now - self._read_at < (FRESH if self._rereading else FRESH / 2):
            return
        self._rereading = True
        try:
            await self.reread()
        except StoreUnavailableError as error:
            self._read_at = now
            logger.warning("%s; the tokens are those that were read last", error)
        finally:
            self._rereading = False

    async def reread(self) -> None:
        """Raises: StoreUnavailableError."""
        await run_in_threadpool(self.read)

    async def admit(self, text: str, address: str, *, session: bool = False) -> Principal:
        """Who holds this token, or this session; `address` is where it came from.

        Raises:
            TokenUnknownError, TokenEndedError: nobody, or nobody any more. TooManyFailuresError: the address has sent
            too many such. StoreUnavailableError.
        """
        found = self._holder(text, session)
        if found is not None:
            return found
        wait_s = self._failures.wait_s(address)
        if wait_s:
            raise TooManyFailuresError(
                f"{cut(address)} sent too many wrong tokens; it may try again in {ceil(wait_s)} s", wait_s=wait_s
            )
        self._failures.failed(address)
        await self.reread()  # it may have been made a moment ago
        found = self._holder(text, session)
        if found is None:
            raise TokenUnknownError("this is no token of this service: it was mistyped, or is of another one")
        return found

    def note_uses(self) -> None:
        """Writes down when tokens were last used. Raises: StoreUnavailableError."""
        used, self._used = self._used, {}
        due = {key: at for key, at in used.items() if key not in self._noted or at - self._noted[key] >= USE_NOTED}
        if due:
            with self._store.write() as uow:
                for key, at in due.items():
                    uow.tokens.used(key, at, at - USE_NOTED)
            self._noted |= due

    def read(self) -> None:
        """Raises: StoreUnavailableError."""
        at = self._clock()
        with self._store.read() as uow:
            self._tokens = {row.id: row for row in uow.tokens.everything()}
        self._read_at = at

    def _holder(self, text: str, session: bool) -> Principal | None:
        """Raises: TokenEndedError."""
        tokens = self._tokens
        row = _found(tokens, text, session)
        parent = tokens.get(row.parent) if row is not None and row.parent is not None else row
        if row is None or parent is None:
            return None
        for each in (row, parent):
            state = state_of(each, self._clock())
            if state is not TokenState.ACTIVE:
                what = "session" if session else f"token {each.id}"
                raise TokenEndedError(f"this {what} {_ENDED[state]}; another one is needed")
        self._used[row.parent or row.id] = self._clock()
        return Principal(id=row.id, name=row.name, scope=row.scope, parent=row.parent)


def _found(tokens: Mapping[str, TokenRow], text: str, session: bool) -> TokenRow | None:
    """The row is found by the part that is no secret; what is secret is compared in constant time. A session is taken
    from a browser's cookie only, a token from a header only.
    """
    if re.fullmatch(TOKEN_PATTERN, text) is None:
        return None
    row = tokens.get(text.split("_")[1])
    if row is None or not hmac.compare_digest(row.digest, digest_of(text)):
        return None
    return row if (row.parent is not None) is session else None
