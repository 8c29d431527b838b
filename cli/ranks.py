"""Several equal processes at one distillation.

Each gets the environment in which accelerate finds that it is one of them, as its launcher would give it. They are
started here because that one hides the exit code of a process, and cannot be asked to stop where work can go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from cli.errors import ChildError
from cli.interrupts import Interrupts
from cli.ports import HOST, free_port
from cli.supervisor import tail

RANK, WORLD_SIZE = "RANK", "WORLD_SIZE"
TICK_S = 0.05
END_S = 10.0
"""How long the others may take to end once one has."""


def rank() -> int | None:
    """The number of this process among those of `run_ranks`, from 0; None where it is alone."""
    return int(os.environ[RANK]) if world_size() > 1 else None


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get(WORLD_SIZE, "1"))


def run_ranks(count: int, arguments: Sequence[str], *, threads: int, logs: Path, interrupts: Interrupts) -> int:
    """Run the command with these arguments in so many processes; returns the exit code of the first.

    The first one talks and writes; the others write logs. Signals go to the first, which stops them all.

    Raises:
        ChildError: another one failed; the message ends with its log.
    """
    logs.mkdir(parents=True, exist_ok=True)
    port = free_port(0, HOST)
    processes: list[subprocess.Popen[bytes]] = []
    files = [None, *((logs / f"distill-{number}.log").open("wb") for number in range(1, count))]
    try:
        for number, file in enumerate(files):
            processes.append(_start(number, count, arguments, threads, port, file))
        interrupts.stopping(lambda: processes[0].send_signal(signal.SIGINT))
        return _followed(processes, logs)
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for file in files:
            if file is not None:
                file.close()


def _start(
    number: int, count: int, arguments: Sequence[str], threads: int, port: int, log: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    place = {
        RANK: number,
        WORLD_SIZE: count,
        "LOCAL_RANK": number,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": HOST,
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": threads,
    }
    return subprocess.Popen(  # noqa: S603 (our own command)
        # -P: a folder in the working directory must not stand in for one of our packages.
        [sys.executable, "-P", "-m", "cli.main", *arguments],
        stdin=subprocess.PIPE,  # its end tells that this process is gone
        stdout=log,
        stderr=log,
        process_group=0,
        env=os.environ | {name: str(value) for name, value in place.items()},
    )


def _followed(processes: Sequence[subprocess.Popen[bytes]], logs: Path) -> int:
    first, others = processes[0], processes[1:]
    deadline: float | None = None
    while True:
        code = first.poll()
        if code is not None:
            return code
        failed = [number for number, process in enumerate(others, 1) if process.poll() not in (None, 0)]
        if failed and deadline is None:
            deadline = time.monotonic() + END_S
        if deadline is not None and time.monotonic() > deadline:
            log = logs / f"distill-{failed[0]}.log"
            raise ChildError(f"process {failed[0]} of the distillation failed. The end of {log}:\n{tail(log)}")
        time.sleep(TICK_S)
