"""Requests that change something at most once, however often they are sent with one key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from service.errors import KeyReusedError
from service.store.unit_of_work import UnitOfWork

Answer = tuple[int, BaseModel]
"""A status and what is sent with it."""


def once(uow: UnitOfWork, key: str | None, request: Any, do: Callable[[], Answer]) -> tuple[int, str]:
    """Status and body that `do` answers, or answered when this JSON request came with this key before.

    Refusals are not kept: what was refused may be sent again.

    Raises:
        KeyReusedError: the key came with another request.
    """
    if key is None:
        status, model = do()
        return status, model.model_dump_json()
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    known = uow.idempotency.begin(key, digest, uow.now)
    if known is None:
        status, model = do()
        answer = model.model_dump_json()
        uow.idempotency.answer(key, status, answer)
        return status, answer
    if known.digest != digest:
        raise KeyReusedError("Idempotency-Key: came with another request before; use a new key for a new request")
    return known.status, known.answer
