"""Holding a duty for as long as something takes."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from service.errors import DutyTakenError, StoreUnavailableError
from service.store.unit_of_work import Store

LEASE_S = 120.0
"""How long a duty waits for a process that died."""

_AGAIN_S = 0.2


class DutyHolder:
    """This process, to others."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._holder = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    @contextmanager
    def held(self, patience_s: float = 0.0) -> Iterator[Callable[[], None]]:
        """The block has the duty. It calls what it is given again and again, or may lose it.

        Raises:
            DutyTakenError: somebody else has it, for longer than `patience_s`, or took it meanwhile.
        """
        end_s = time.monotonic() + patience_s
        while not self._take():
            if time.monotonic() >= end_s:
                raise DutyTakenError(f"another process of the service has the duty {self._name!r}; try again later")
            time.sleep(_AGAIN_S)
        taken_s = time.monotonic()

        def keep() -> None:
            nonlocal taken_s
            if time.monotonic() > taken_s + LEASE_S / 4:
                if not self._take():
                    raise DutyTakenError(f"the duty {self._name!r} was lost to another process")
                taken_s = time.monotonic()

        try:
            yield keep
        finally:
            with suppress(StoreUnavailableError), self._store.write() as uow:  # else it is over by itself
                uow.duties.leave(self._name, self._holder)

    def _take(self) -> bool:
        with self._store.write() as uow:
            return uow.duties.take(self._name, self._holder, uow.now, LEASE_S)
