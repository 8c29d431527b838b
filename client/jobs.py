"""Jobs over REST: what a worker says."""

from __future__ import annotations

import httpx

from client.decoding import decoded
from client.transport import Transport
from protocol.jobs import Grant, LeaseRequest, Release, Renewal, Renewed, Report


class Jobs:
    """`client.jobs`. Everything but `lease` is repeated until the client's patience ends.

    Raises:
        ProblemError: code `lease_lost`: the job is no longer this attempt's.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def lease(self, request: LeaseRequest) -> Grant | None:
        """The suitable job whose turn it is, or None if there was none for `wait_s`.

        Sent once: whoever asks decides whether to ask again, and then repeats the `request`: its answer may be lost.
        """
        answer = self._transport.call(
            "POST", "/jobs:lease", json=request.model_dump(mode="json"), safe=False, timeout_s=request.wait_s + 30
        )
        return None if answer.status_code == httpx.codes.NO_CONTENT else decoded(Grant, answer)

    def renew(self, job: int, renewal: Renewal) -> Renewed:
        return decoded(Renewed, self._post(job, "renew", renewal))

    def report(self, job: int, report: Report) -> None:
        self._post(job, "report", report)

    def release(self, job: int, release: Release) -> None:
        self._post(job, "release", release)

    def _post(self, job: int, verb: str, message: Renewal | Report | Release) -> httpx.Response:
        return self._transport.call("POST", f"/jobs/{job}:{verb}", json=message.model_dump(mode="json"))
