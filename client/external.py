"""External trials over REST: for code that trains and measures by itself."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from urllib.parse import quote

from client.decoding import decoded
from client.transport import Transport
from protocol.jobs import Ask, Failure, FailureReason, Grant, Tell
from protocol.views import AskedView, ToldView


class External:
    """`client.external`: trials of a study with `external: true`.

        while not (asked := client.external.ask("on-the-chip")).state.ended:
            for grant in asked.trials:
                client.external.tell(grant, {"accuracy": ..., "energy": ...})

    A trial is leased: `client.jobs.renew` keeps it, `client.jobs.release` gives it back.

    Raises:
        ProblemError: code `not_external`, or `lease_lost`: the trial is no longer this attempt's.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ask(self, study: str, count: int = 1, *, worker: str = "ask", wait_s: float = 20.0) -> AskedView:
        """At most so many trials to evaluate, and the study's state; empty if none came up for `wait_s`."""
        message = Ask(worker=worker, count=count, wait_s=wait_s, request=uuid.uuid4().hex)
        path = f"/studies/{quote(study, safe='')}/trials:ask"
        answer = self._transport.call("POST", path, json=message.model_dump(mode="json"), timeout_s=wait_s + 30)
        return decoded(AskedView, answer)

    def tell(
        self, grant: Grant, metrics: Mapping[str, float], variances: Mapping[str, float] | None = None
    ) -> ToldView:
        """The trial's metrics, all that the study judges by; `variances` of their observation noise."""
        return self._tell(grant, Tell(attempt=grant.attempt, metrics=dict(metrics), variances=dict(variances or {})))

    def infeasible(self, grant: Grant, reason: str) -> ToldView:
        """It cannot be what the study wants, which tells the strategy something."""
        return self._tell(grant, Tell(attempt=grant.attempt, infeasible=reason))

    def failed(self, grant: Grant, message: str, reason: FailureReason = FailureReason.ERROR) -> ToldView:
        """It could not be found out; tried again where that may help."""
        return self._tell(grant, Tell(attempt=grant.attempt, failure=Failure(reason=reason, message=message)))

    def _tell(self, grant: Grant, message: Tell) -> ToldView:
        path = f"/studies/{quote(grant.study, safe='')}/trials/{grant.trial}:tell"
        return decoded(ToldView, self._transport.call("POST", path, json=message.model_dump(mode="json")))
