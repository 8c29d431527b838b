"""How threads of one computation wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_POLICY = "OMP_WAIT_POLICY"


@contextmanager
def passive_waiting() -> Iterator[None]:
    """What is imported inside lets its threads sleep while they wait, instead of spinning.

    Worker and suggester share the cores. Where another process computes on one of two cores, a thread that spins takes
    the time that the thread it waits for needs: with two threads a training step of a 1x48 student took 795 ms, and 15
    with passive ones, of a 2x96 student 364 ms and 55. OpenMP reads the variable when it is loaded and never again, so
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
