"""What is kept for a while only: events, and answers by idempotency key."""

from __future__ import annotations

from datetime import timedelta

from service.store.unit_of_work import UnitOfWork

EVENTS = timedelta(days=1)
"""How long somebody may be away who resumes listening."""

KEYS = timedelta(days=7)
"""How long a request may be sent again with its key."""


def tidy(uow: UnitOfWork) -> None:
    """Forgets what is older."""
    uow.events.prune(uow.now - EVENTS)
    uow.idempotency.prune(uow.now - KEYS)
