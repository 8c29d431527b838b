"""Many independent pieces of work, each done once: results are kept line by line, so a run goes on where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

Row = dict[str, Any]
C = TypeVar("C")


class Ledger:
    """A JSONL file of rows, each under the key of what it is the result of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Row] = {}
        # A run that was killed may have left half a line: its work is done again.
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            self._rows[row["key"]] = row

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def once(self, key: str, work: Callable[[], Row]) -> Row:
        """The row of this key; the work is done here and now unless it was done before."""
        if key not in self._rows:
            self._append({"key": key, **work()})
        return self._rows[key]

    def complete(self, cells: Mapping[str, C], work: Callable[[C], Row], *, processes: int, name: str) -> None:
        """Does what is not there yet, in so many processes of one thread each. `work` is a function of a module."""
        missing = {key: cell for key, cell in cells.items() if key not in self._rows}
        if not missing:
            return
        # Read by the processes when they load their libraries.
        os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        begin_s = time.monotonic()
        pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_single_threaded)
        with pool:
            running = {pool.submit(work, cell): key for key, cell in missing.items()}
            for done, future in enumerate(as_completed(running), start=1):
                try:
                    self._append({"key": running[future], **future.result()})
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                if done % 10 == 0 or done == len(running):
                    seconds = time.monotonic() - begin_s
                    left_s = seconds / done * (len(running) - done)
                    print(f"... {name}: {done} of {len(running)}, {seconds:.0f} s, {left_s:.0f} s left", flush=True)

    def _append(self, row: Row) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            if file.tell() and not self._ends_a_line():
                file.write(b"\n")
            file.write((json.dumps(row) + "\n").encode())
        self._rows[row["key"]] = row

    def _ends_a_line(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _single_threaded() -> None:
    torch.set_num_threads(1)
