"""How threads of one computation wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_POLICY = "OMP_WAIT_POLICY"


@contextmanager
def passive_waiting() -> Iterator[None]:
    """What is imported inside lets its threads sleep while they wait, instead of spinning.

    Worker and suggester share the cores: where another process computes on one of them, a thread that spins takes the
    time that the thread it waits for needs. OpenMP reads the variable when it is loaded and never again, so
    that processes started later, which measure latencies, do not inherit the policy.
    """
    if WAIT_POLICY in os.environ:
        yield
        return
    os.environ[WAIT_POLICY] = "PASSIVE"
    try:
        yield
    finally:
        del os.environ[WAIT_POLICY]
