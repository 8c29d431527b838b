"""Lease, run, report, until the worker shall end."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from client import ClientError, ProblemError
from hardware.drift import DriftWatch
from protocol.jobs import PROTOCOL_VERSION, Grant, JobKind, LeaseRequest, Reading, Release
from protocol.log_fields import about
from protocol.targets import Target
from worker.announcement import reading_of
from worker.checkpoints import Checkpoints
from worker.lack import Backoff
from worker.room import lack_of_room
from worker.runner import Runner
from worker.shutdown import Shutdown
from worker.tenure import Ending, JobsPort, Tenure
from worker.waiting import Waiting

log = logging.getLogger(__name__)

WAIT_S = 20.0
"""How long one request waits for a job: a fleet that has nothing to do asks seldom."""

LOOK_S = 0.5
"""Between two looks whether the worker shall end while it waits for a job."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0

MOST_READINGS = 100
"""Of the reference architecture, that wait for a service that does not answer."""


class Loop:
    """One worker: one job at a time."""

    def __init__(
        self,
        name: str,
        jobs: JobsPort,
        runners: Mapping[JobKind, Runner],
        *,
        targets: Callable[[], tuple[Target, ...]],
        watch: DriftWatch | None = None,
        upload: Callable[[Path], str],
        work: Path,
        shutdown: Shutdown,
        tell: Callable[[str], None],
        happened: Callable[[str, Mapping[str, object]], None] | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        """`targets` tells what can be measured here, `watch` how the machine drifts; `tell` reaches people with the
        little that they must do something about; `happened` gets each event of a job, for programs.
        """
        self._happened = happened
        self._jobs, self._runners, self._upload = jobs, runners, upload
        self._work, self._shutdown = work, shutdown
        self._backoff = Backoff(tell, shutdown.pause)
        self._targets, self._watch = targets, watch
        self._readings: tuple[Reading, ...] = ()
        self._request = LeaseRequest(
            worker=name, protocol_version=PROTOCOL_VERSION, kinds=tuple(runners), targets=targets(), wait_s=wait_s
        )

    def run(self) -> Ending | None:
        """Work until asked to stop; returns how the last job ended.

        Raises:
            ProblemError: the service refuses this worker (4xx): asking again would change nothing.
        """
        pause_s, ending = FIRST_PAUSE_S, None
        name = _request_name()
        while not self._shutdown.asked:
            self._shutdown.beat()
            try:
                asked = self._request.model_copy(update={"readings": self._readings, "request": name})
                grant = self._leased(asked)
            except ClientError as error:
                if isinstance(error, ProblemError) and error.problem.status < 500:
                    raise
                lack = lack_of_room(error, self._work)
                if lack is not None:
                    self._backoff.lacks(lack, longest_s=LONGEST_PAUSE_S)
                    continue
                log.warning("no job to be had, next try in %.1f s: %s", pause_s, error)
                self._shutdown.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            # Only a request that was answered is over: asked again by its name, one whose answer was lost gets that.
            pause_s, self._readings, name = FIRST_PAUSE_S, (), _request_name()
            if grant is not None:
                ending = self._give_back(grant) if self._shutdown.asked else self._work_on(grant)
                self._request = self._request.model_copy(update={"targets": self._targets()})
            if not self._shutdown.asked:
                self._look_at_itself()
        return ending

    def _leased(self, request: LeaseRequest) -> Grant | None:
        """As `lease`; who shall end does not wait for a job, but asks whether one was granted meanwhile."""
        waiting = Waiting(lambda: self._jobs.lease(request))
        while not waiting.answered(LOOK_S):
            self._shutdown.beat()
            if self._shutdown.asked:
                return self._jobs.lease(request.model_copy(update={"wait_s": 0.0}))
        return waiting.answer()

    def _look_at_itself(self) -> None:
        """Now and then: how long the reference architecture takes, which the next request tells.

        Not before the first request: a job that waits should not wait for this.
        """
        taken = () if self._watch is None else tuple(map(reading_of, self._watch.due()))
        self._readings = (*self._readings, *taken)[-MOST_READINGS:]

    def _work_on(self, grant: Grant) -> Ending:
        with about(study=grant.study, trial=grant.trial, job=grant.job, attempt=grant.attempt):
            return self._work_on_job(grant)

    def _work_on_job(self, grant: Grant) -> Ending:
        trial = "" if grant.trial is None else f", trial {grant.trial}"
        log.info("job %d attempt %d: %s for %s%s", grant.job, grant.attempt, grant.work.kind, grant.study, trial)
        outbox = self._work / f"outbox-{uuid.uuid4().hex}"  # made by the job, whose disk may be full
        runner, checkpoints = self._runners[grant.work.kind], Checkpoints(outbox, self._upload)
        tenure = Tenure(
            grant, runner, self._jobs, checkpoints, shutdown=self._shutdown, backoff=self._backoff, work=self._work
        )
        self._say("job", grant)
        try:
            ending = tenure.hold()
        finally:
            shutil.rmtree(outbox, ignore_errors=True)
        log.info("job %d: %s", grant.job, ending)
        self._say("job_ended", grant, ending=str(ending))
        return ending

    def _say(self, event: str, grant: Grant, **more: object) -> None:
        if self._happened is not None:
            told = {"job": grant.job, "attempt": grant.attempt, "kind": str(grant.work.kind)}
            self._happened(event, {**told, "study": grant.study, "trial": grant.trial, **more})

    def _give_back(self, grant: Grant) -> Ending:
        """A job that was granted while the worker was asked to end."""
        try:
            self._jobs.release(grant.job, Release(attempt=grant.attempt))
        except ClientError as error:
            log.warning("job %d could not be released and will be leased again later: %s", grant.job, error)
        return Ending.RELEASED


def _request_name() -> str:
    return uuid.uuid4().hex
