"""Trials of an external study: asked for, evaluated by code of the user's own, and told of."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from client.arguments import made
from client.errors import ClientError, ProblemError
from protocol.jobs import Command, EvaluateWork, Failure, FailureReason, Grant, Release, Renewal, Tell
from protocol.problem import LEASE_LOST, NOT_FOUND
from protocol.views import ToldView
from search_space import Architecture

if TYPE_CHECKING:
    from client.jobs import Jobs
    from client.studies import Studies

RENEWALS = 3
"""In the time of a lease."""


class AskedTrial:
    """`study.ask()`: one architecture to be evaluated, of which `tell` says what came out.

    Until then it is kept: its lease is renewed by a thread. Who forgets the object, or dies, gives it up, and somebody
    else is asked.
    """

    def __init__(self, grant: Grant, studies: Studies, jobs: Jobs) -> None:
        if not isinstance(grant.work, EvaluateWork) or grant.trial is None:
            raise ClientError(f"trial {grant.trial} of study {grant.study} is not one to be evaluated outside")
        self.study, self.number = grant.study, grant.trial
        self.architecture: Architecture = grant.work.architecture
        self.metrics: tuple[str, ...] = grant.work.metrics
        """What is to be told; names beside these are kept too."""
        self.is_cancelled = False
        """Whether nobody wants it any more: the study was stopped or deleted, or somebody else was asked."""
        self._grant, self._studies, self._jobs = grant, studies, jobs
        self._over = threading.Event()
        weakref.finalize(self, self._over.set)
        threading.Thread(
            target=_keep,
            args=(weakref.ref(self), self._over, grant, jobs),
            name=f"keep-{self.study}-{self.number}",
            daemon=True,
        ).start()

    def __repr__(self) -> str:
        return f"<trial {self.number} of {self.study}: {self.architecture.label}, tell {', '.join(self.metrics)}>"

    def tell(self, metrics: Mapping[str, float], *, variances: Mapping[str, float] | None = None) -> ToldView:
        """What was found out; `variances` are of its noise. May be repeated.

        Raises:
            ProblemError: code `lease_lost`: the trial is somebody else's by now. InvalidArgument: no finite numbers.
        """
        attempt = self._grant.attempt
        return self._tell(lambda: Tell(attempt=attempt, metrics=dict(metrics), variances=dict(variances or {})))

    def infeasible(self, why: str) -> ToldView:
        """It cannot be, or breaks a bound that only the evaluation knows. Raises: as `tell`."""
        return self._tell(lambda: Tell(attempt=self._grant.attempt, infeasible=why))

    def fail(self, why: str) -> ToldView:
        """The evaluation broke; somebody may try again. Raises: as `tell`."""

        def failed() -> Tell:
            return Tell(attempt=self._grant.attempt, failure=Failure(reason=FailureReason.ERROR, message=why))

        return self._tell(failed)

    def release(self) -> None:
        """Give it back, not evaluated."""
        self._over.set()
        self._jobs.release(self._grant.job, Release(attempt=self._grant.attempt))

    def _tell(self, message: Callable[[], Tell]) -> ToldView:
        told = self._studies.tell(self.study, self.number, made(message))
        self._over.set()
        return told


def _keep(trial: weakref.ref[AskedTrial], over: threading.Event, grant: Grant, jobs: Jobs) -> None:
    """Renews the lease until the trial was told of, is forgotten, or is not wanted any more."""
    while not over.wait(grant.lease_s / RENEWALS):
        try:
            if jobs.renew(grant.job, Renewal(attempt=grant.attempt)).command is Command.CONTINUE:
                continue
        except ClientError as error:
            if not (isinstance(error, ProblemError) and error.code in (LEASE_LOST, NOT_FOUND)):
                continue  # perhaps next time; who tells hears of it
        if (held := trial()) is not None:
            held.is_cancelled = True
        return
