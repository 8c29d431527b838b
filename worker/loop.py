"""Lease, run, report, until the worker shall end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from client import ClientError, ProblemError
from protocol.jobs import PROTOCOL_VERSION, Grant, JobKind, LeaseRequest, Release
from worker.checkpoints import Checkpoints
from worker.runner import Runner
from worker.shutdown import Shutdown
from worker.tenure import Ending, JobsPort, Tenure

log = logging.getLogger(__name__)

WAIT_S = 2.0
"""How long one request waits for a job: also the longest that an idle worker takes to end."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0


class Loop:
    """One worker: one job at a time."""

    def __init__(
        self,
        name: str,
        jobs: JobsPort,
        runners: Mapping[JobKind, Runner],
        *,
        targets: tuple[str, ...],
        upload: Callable[[Path], str],
        work: Path,
        shutdown: Shutdown,
        wait_s: float = WAIT_S,
    ) -> None:
        self._jobs, self._runners, self._upload = jobs, runners, upload
        self._work, self._shutdown = work, shutdown
        self._request = LeaseRequest(
            worker=name, protocol_version=PROTOCOL_VERSION, kinds=tuple(runners), targets=targets, wait_s=wait_s
        )

    def run(self) -> Ending | None:
        """Work until asked to stop; returns how the last job ended.

        Raises:
            ProblemError: the service refuses this worker (4xx): asking again would change nothing.
        """
        pause_s, ending = FIRST_PAUSE_S, None
        while not self._shutdown.asked:
            try:
                grant = self._jobs.lease(self._request)
            except ClientError as error:
                if isinstance(error, ProblemError) and error.problem.status < 500:
                    raise
                log.warning("no job to be had, next try in %.1f s: %s", pause_s, error)
                self._shutdown.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            if grant is not None:
                ending = self._give_back(grant) if self._shutdown.asked else self._work_on(grant)
        return ending

    def _work_on(self, grant: Grant) -> Ending:
        trial = "" if grant.trial is None else f", trial {grant.trial}"
        log.info("job %d attempt %d: %s for %s%s", grant.job, grant.attempt, grant.work.kind, grant.study, trial)
        with TemporaryDirectory(dir=self._work, prefix="outbox-", ignore_cleanup_errors=True) as outbox:
            checkpoints = Checkpoints(Path(outbox), self._upload)
            ending = Tenure(grant, self._runners[grant.work.kind], self._jobs, checkpoints, self._shutdown).hold()
        log.info("job %d: %s", grant.job, ending)
        return ending

    def _give_back(self, grant: Grant) -> Ending:
        """A job that was granted while the worker was asked to end."""
        try:
            self._jobs.release(grant.job, Release(attempt=grant.attempt))
        except ClientError as error:
            log.warning("job %d could not be released and will be leased again later: %s", grant.job, error)
        return Ending.RELEASED
