"""What the service refuses, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from protocol.problem import INVALID, LEASE_LOST, NOT_FOUND, SCOPE_MISSING, STORAGE_FULL, STUDY_DIFFERS, UPGRADE_NEEDED


class ServiceError(Exception):
    """Base of this package's errors."""


class SettingsError(ServiceError):
    """A setting that cannot be used; the message names it."""


class PortTakenError(ServiceError):
    """Somebody else listens on the port already."""


class StoreUnusableError(ServiceError):
    """The database that the settings name cannot be used as it is; the message says why, and what to do."""


class DutyTakenError(ServiceError):
    """Another process does what only one does at a time."""


class BackupError(ServiceError):
    """A backup that cannot be made, or not be read; the message names the folder or file."""


class RequestError(ServiceError):
    """A request that is refused. `status` is HTTP's, `code` is stable and meant for programs.

    The message is for people; `errors` has one line for each thing that is wrong.
    """

    status: ClassVar[int]
    code: ClassVar[str]

    def __init_subclass__(cls, *, status: int, code: str) -> None:
        cls.status, cls.code = status, code

    def __init__(self, detail: str, *, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.errors = list(errors)


class NotFoundError(RequestError, status=404, code=NOT_FOUND):
    """There is nothing of this name or number."""


class StudyDiffersError(RequestError, status=409, code=STUDY_DIFFERS):
    """The name is taken by a study with other settings; `errors` names them."""


class StudyRunningError(RequestError, status=409, code="study_running"):
    """The study is worked on: it must be stopped before."""


class StudyEndedError(RequestError, status=409, code="study_ended"):
    """The study has ended: there is nothing to stop, to resume or to extend."""


class KeyReusedError(RequestError, status=422, code="idempotency_key_reused"):
    """The idempotency key came with another request before."""


class LeaseLostError(RequestError, status=409, code=LEASE_LOST):
    """The job is no longer this attempt's."""


class BusyError(RequestError, status=503, code="busy"):
    """The same request is being answered; it may be sent again."""


class UpgradeNeededError(RequestError, status=409, code=UPGRADE_NEEDED):
    """The worker speaks a version of the protocol that is not served."""


class NotExternalError(RequestError, status=409, code="not_external"):
    """The study evaluates its trials itself: nobody asks for them."""


class UnknownHostError(RequestError, status=421, code="unknown_host"):
    """The request was meant for another host: perhaps a page from elsewhere, whose name now leads to this machine."""


class TokenError(RequestError, status=401, code="token_needed"):
    """The service is not open, and was given no token."""


class TokenUnknownError(TokenError, status=401, code="token_unknown"):
    """Text that is no token of this service."""


class TokenEndedError(TokenError, status=401, code="token_ended"):
    """A token that has expired or was revoked."""


class ScopeError(RequestError, status=403, code=SCOPE_MISSING):
    """The token is good, and not for this."""


class CrossSiteError(RequestError, status=403, code="cross_site"):
    """A browser sent this for a page of another site."""


class TooManyFailuresError(RequestError, status=429, code="too_many_failures"):
    """This address sent too many tokens that were not good; after `wait_s` it may send another."""

    def __init__(self, detail: str, *, wait_s: float) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


class MediaTypeError(RequestError, status=415, code="unsupported_media_type"):
    """A body of another kind than is taken here."""


class TooLargeError(RequestError, status=413, code="too_large"):
    """A body over the limit of its kind."""


class InvalidError(RequestError, status=422, code=INVALID):
    """What was sent cannot be understood, or does not fit what it answers."""


class UnknownArtefactError(RequestError, status=422, code="unknown_artefact"):
    """A message names an artefact that was never uploaded."""


class HashMismatchError(RequestError, status=422, code="hash_mismatch"):
    """The content is not what its name says."""


class DrainingError(RequestError, status=503, code="draining"):
    """This replica is about to end and gives out no more work; ask again, and another one answers."""


class StoreUnavailableError(RequestError, status=503, code="store_unavailable"):
    """The database does not answer, or is busy for too long; the request may be sent again."""


class StorageFullError(StoreUnavailableError, status=507, code=STORAGE_FULL):
    """There is no room left; what goes on by itself tries again, as with any store that is unavailable."""
