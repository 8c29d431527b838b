"""What every kind of job offers to the loop, and what the loop offers to it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

from protocol.jobs import Grant, Outcome
from worker.errors import WorkerError

Work = TypeVar("Work")


class Reporter(Protocol):
    """A running job's way to tell how far it is. Every method returns at once, and may be called from its thread."""

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """`done` of `total` steps of this stage; the newest is sent with the next renewal."""
        ...

    def evaluated(self, step: int, value: float) -> None:
        """A point of the learning curve; sent with the next renewal."""
        ...

    def checkpoint(self, folder: Path) -> None:
        """This folder is where the job can be resumed; it is copied before the call returns and sent later."""
        ...

    def should_stop(self) -> bool:
        """Whether the job shall write a checkpoint and raise `Interrupted`, as soon as it can."""
        ...


class Runner(Protocol):
    """One kind of job."""

    def run(self, grant: Grant, reporter: Reporter) -> Outcome:
        """Do the work. May be killed at any line, and is then run again elsewhere from the newest checkpoint.

        Raises:
            Interrupted: asked to stop.
            Exception: any other ends the job, as `worker.failures` says.
        """
        ...


def work_of(grant: Grant, kind: type[Work]) -> Work:
    """What the grant asks for.

    Raises:
        WorkerError: it is another kind of work.
    """
    if not isinstance(grant.work, kind):
        raise WorkerError(f"job {grant.job} is {grant.work.kind} work, not {kind.__name__}")
    return grant.work
