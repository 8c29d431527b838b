"""What a shell is offered for a value: names that only the service knows, and words of a closed set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

AT_ONCE_S = 1.0
"""A shell waits meanwhile."""

Offer = Callable[[str], Sequence[str]]


def study_names(incomplete: str) -> Sequence[str]:
    """The studies whose names begin so; none where no service answers at once."""
    from cli.options import DEFAULT_URL, URL_VARIABLE
    from client import Client, ClientError

    try:
        with Client(os.environ.get(URL_VARIABLE) or DEFAULT_URL, patience_s=0, timeout_s=AT_ONCE_S) as client:
            return _begun(incomplete, (study.name for study in client.studies.list()))
    except ClientError:
        return []


def words(*given: str) -> Offer:
    """These; where a module knows them that is heavy, or that help does not need, ask one of those below."""
    return lambda incomplete: _begun(incomplete, given)


def metrics(incomplete: str) -> Sequence[str]:
    from protocol.metrics import METRICS

    return _begun(incomplete, METRICS)


def kinds(incomplete: str) -> Sequence[str]:
    from protocol.jobs import WORKER_KINDS

    return _begun(incomplete, WORKER_KINDS)


def efforts(incomplete: str) -> Sequence[str]:
    from hardware.values import Effort

    return _begun(incomplete, Effort)


def quantiles(incomplete: str) -> Sequence[str]:
    from hardware.values import QuantileName

    return _begun(incomplete, QuantileName)


def scopes(incomplete: str) -> Sequence[str]:
    from protocol.tokens import Scope

    return _begun(incomplete, Scope)


def forms(incomplete: str) -> Sequence[str]:
    from cli.checkpoint_export import Format

    return _begun(incomplete, Format)


def tables(incomplete: str) -> Sequence[str]:
    from cli.steering import FORMATS

    return _begun(incomplete, FORMATS)


def _begun(incomplete: str, names: Iterable[str]) -> Sequence[str]:
    return [str(name) for name in names if name.startswith(incomplete)]
