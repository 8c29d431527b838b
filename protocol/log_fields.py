"""What a line of a log is about: request, study, trial, job, attempt, worker.

Whoever knows sets it once; every line that is written meanwhile says it, whoever writes the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Field = str | int | None

_FIELDS: ContextVar[dict[str, Field] | None] = ContextVar("log_fields", default=None)


@contextmanager
def about(**fields: Field) -> Iterator[None]:
    """Every line of the block is about this, too."""
    before = _FIELDS.set({**fields_now(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(before)


def learned(**fields: Field) -> None:
    """What the innermost block has found out meanwhile that it is about; nothing outside of any."""
    known = _FIELDS.get()
    if known is not None:
        known.update(fields)


def fields_now() -> Mapping[str, Field]:
    """What is known, without what is not."""
    return {name: value for name, value in (_FIELDS.get() or {}).items() if value is not None}
