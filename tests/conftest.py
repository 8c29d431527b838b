"""Before anything imports JAX; and what takes long first."""

import os
from pathlib import Path

import pytest

# As the command does: else JAX takes an accelerator, or the lock of the TPU's library, which estimates then wait for.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: the others have the other cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG = ("end_to_end", "hardware", "worker", "optimization", "distillation")
"""Folders of the files that take longest, the longest first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes are given whole files in this order: none waits at the end while another has a long one."""
    rank = {config.rootpath / "tests" / folder: place for place, folder in enumerate(LONG)}

    def place(item: pytest.Item) -> int:
        return min((rank[folder] for folder in Path(item.path).parents if folder in rank), default=len(LONG))

    items.sort(key=place)
