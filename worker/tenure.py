"""Holding one leased job: it runs in a thread while its lease is renewed here."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from enum import StrEnum
from pathlib import Path
from typing import Protocol, assert_never

from client import ClientError, ProblemError
from protocol.jobs import (
    Command,
    CurvePoint,
    Failure,
    FailureReason,
    Grant,
    LeaseRequest,
    Outcome,
    Progress,
    Release,
    Renewal,
    Renewed,
    Report,
    Stopped,
)
from protocol.problem import LEASE_LOST, NOT_FOUND
from worker.checkpoints import Checkpoints
from worker.errors import Interrupted
from worker.failures import failure_of
from worker.in_use import device_in_use
from worker.lack import Backoff, Lack
from worker.room import lack_of_room, none_left
from worker.runner import Runner
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

NEWS_S = 2.0
"""How long news of a job may wait where the next renewal would come later."""

TICK_S = 0.5
"""How often the loop looks for a checkpoint to send."""

FULL_SERVICE_S = 1.0
"""How often a service without room is told again how a job ended: soon, for its lease is over when there is room."""


_News = tuple[Progress | None, str | None, tuple[CurvePoint, ...]]
"""What a renewal tells: progress, checkpoint, curve."""


class JobsPort(Protocol):
    """What a worker says to the service; `client.jobs` is one."""

    def lease(self, request: LeaseRequest) -> Grant | None: ...

    def renew(self, job: int, renewal: Renewal) -> Renewed: ...

    def report(self, job: int, report: Report) -> None: ...

    def release(self, job: int, release: Release) -> None: ...


class Ending(StrEnum):
    """How the worker's time with a job ended."""

    REPORTED = "reported"
    RELEASED = "released"
    LOST = "lost"
    """The service gave the job to somebody else, cancelled or deleted it: nothing more is said about it."""
    GIVEN_UP = "given up"
    """Released while it was still running: the process must end."""
    LACKING = "released for want of room, or of a device that is free"


class _Reporter:
    """The job's side of a tenure."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.latest: Progress | None = None
        self.curve: tuple[CurvePoint, ...] = ()
        self.stop = False
        self.is_over = False
        """Nobody will go on with this job: its checkpoints are of no use."""
        self._checkpoints = checkpoints

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        self.latest = Progress(stage=stage, done=done, total=total)

    def evaluated(self, step: int, value: float) -> None:
        if math.isfinite(value):
            earlier = (point for point in self.curve if point.step < step)
            self.curve = (*earlier, CurvePoint(step=step, value=value))

    def checkpoint(self, folder: Path) -> None:
        if not self.is_over:
            self._checkpoints.offer(folder)

    def should_stop(self) -> bool:
        return self.stop


class Tenure:
    """One job from its grant to its ending.

    The main thread keeps the lease, because only it gets signals; the job has a thread of its own.
    """

    def __init__(
        self,
        grant: Grant,
        runner: Runner,
        jobs: JobsPort,
        checkpoints: Checkpoints,
        *,
        shutdown: Shutdown,
        backoff: Backoff,
        work: Path,
    ) -> None:
        """`work` is the folder that the runner writes below."""
        self._grant, self._runner, self._jobs = grant, runner, jobs
        self._checkpoints, self._shutdown, self._backoff, self._work = checkpoints, shutdown, backoff, work
        self._reporter = _Reporter(checkpoints)
        known = copy_context()  # the lines of its log say whose they are
        self._thread = threading.Thread(target=known.run, args=(self._run,), name=f"job-{grant.job}", daemon=True)
        self._result: Outcome | Failure | Stopped | None = None
        self._lack: Lack | None = None
        self._lost = False
        self._interval_s = grant.lease_s / 3
        self._renewed_s = time.monotonic()
        self._told: _News = (None, None, ())
        self._renewals = 0

    def hold(self) -> Ending:
        """Run the job and keep its lease until it ends, is lost, or the worker shall end.

        A job that a full disk or a device in use has ended is released, and waited for before this returns.
        """
        self._thread.start()
        stop_by_s: float | None = None
        try:
            while self._thread.is_alive():
                self._shutdown.wait(min(TICK_S, self._interval_s))
                self._keep()
                if self._shutdown.asked:
                    self._reporter.stop = True
                    stop_by_s = stop_by_s or time.monotonic() + self._shutdown.grace_s
                    if time.monotonic() > stop_by_s:
                        return self._give_up()
            self._settle()
        finally:
            if not self._thread.is_alive():
                self._checkpoints.close()
        return self._close()

    def _run(self) -> None:
        try:
            self._result = self._runner.run(self._grant, self._reporter)
        except Interrupted:
            # What ends because it was stopped has an answer, what ends for any other reason is given back.
            self._result = Stopped(progress=self._reporter.latest) if self._reporter.is_over else None
        except Exception as error:  # the job boundary: whatever a job raises is its failure, not the worker's
            log.exception("job %d failed", self._grant.job)
            failure = failure_of(error)
            self._lack = lack_of_room(error, self._work) or device_in_use(error)
            if self._lack is None and failure.reason is FailureReason.ERROR:
                self._lack = none_left(self._work)
            if self._lack is None:
                self._result = failure
        finally:
            self._shutdown.ring()

    def _keep(self) -> None:
        """Send checkpoints on; renew the lease when it is time, and sooner where there is news."""
        self._checkpoints.advance()
        news = (self._reporter.latest, self._checkpoints.newest, self._reporter.curve)
        wait_s = self._interval_s if news == self._told else min(self._interval_s, NEWS_S)
        if not self._lost and time.monotonic() >= self._renewed_s + wait_s:
            self._renewed_s, self._told = time.monotonic(), news
            self._renew(*news)

    def _renew(self, progress: Progress | None, checkpoint: str | None, curve: tuple[CurvePoint, ...]) -> None:
        self._renewals += 1
        renewal = Renewal(
            attempt=self._grant.attempt,
            number=self._renewals,
            progress=progress,
            checkpoint=checkpoint,
            curve=curve,
        )
        try:
            renewed = self._jobs.renew(self._grant.job, renewal)
        except ProblemError as error:
            if error.code == LEASE_LOST:
                self._abandon("its lease is lost")
            elif error.code == NOT_FOUND:
                self._abandon("it is no longer there, its study was deleted")
            else:
                log.warning("job %d: the lease was not renewed: %s", self._grant.job, error)
        except ClientError as error:
            # The lease may outlive the outage; if not, the service says so when it answers again.
            log.warning("job %d: the lease was not renewed: %s", self._grant.job, error)
        else:
            match renewed.command:
                case Command.CONTINUE:
                    pass
                case Command.CANCEL:
                    self._abandon("it was cancelled")
                case Command.STOP:
                    self._reporter.is_over = self._reporter.stop = True
                case unreachable:
                    assert_never(unreachable)

    def _abandon(self, why: str) -> None:
        log.warning("job %d is abandoned: %s", self._grant.job, why)
        self._lost = True
        self._reporter.stop = True

    def _settle(self) -> None:
        """After an interruption: see that the last checkpoint arrives, and keep the lease meanwhile."""
        while self._result is None and not self._lost and not self._checkpoints.advance():
            self._shutdown.wait(min(0.05, self._interval_s))
            self._keep()

    def _close(self) -> Ending:
        if self._lost:
            return Ending.LOST
        if self._result is None:
            return self._release()
        report = Report(attempt=self._grant.attempt, result=self._result)
        try:
            self._say(lambda: self._jobs.report(self._grant.job, report))
        except ClientError as error:
            log.error("job %d: its result could not be reported: %s", self._grant.job, error)
            return Ending.LOST
        self._backoff.suffices()
        return Ending.REPORTED

    def _release(self) -> Ending:
        if self._lack is not None:
            # Before the service's own lack, perhaps of the same disk: this one has a path.
            self._backoff.says(self._lack)
        release = Release(attempt=self._grant.attempt, checkpoint=self._checkpoints.newest)
        try:
            self._say(lambda: self._jobs.release(self._grant.job, release))
        except ClientError as error:
            log.warning("job %d could not be released and will be leased again later: %s", self._grant.job, error)
        if self._lack is None:
            return Ending.RELEASED
        self._backoff.lacks(self._lack)
        return Ending.LACKING

    def _say(self, say: Callable[[], None]) -> None:
        """Tell the service, again and again while it has no room, unless the worker shall end."""
        while True:
            try:
                return say()
            except ProblemError as error:
                lack = lack_of_room(error, self._work)
                if lack is None or self._shutdown.asked:
                    raise
                self._backoff.lacks(lack, longest_s=FULL_SERVICE_S)

    def _give_up(self) -> Ending:
        log.warning("job %d does not stop; it is given up", self._grant.job)
        if not self._lost:
            self._release()
        return Ending.GIVEN_UP
