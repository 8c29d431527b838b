"""Silence for libraries that talk a lot, and a fixed number of threads. Imports no torch by itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back warnings and log records below ERROR, of the whole process: Ax writes several lines per trial."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, so that the same arguments give the same answer; and leaves the other cores to workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
