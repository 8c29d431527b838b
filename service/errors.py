"""What the service refuses, and why."""

from __future__ import annotations

from collections.abc import Sequence


class ServiceError(Exception):
    """Base of this package's errors."""


class SettingsError(ServiceError):
    """A setting that cannot be used; the message names it."""


class PortTakenError(ServiceError):
    """Somebody else listens on the port already."""


class RequestError(ServiceError):
    """A request that is refused. `status` is HTTP's, `code` is stable and meant for programs.

    The message is for people; `errors` has one line for each thing that is wrong.
    """

    status = 500
    code = "internal"

    def __init__(self, detail: str, *, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.errors = list(errors)


class NotFoundError(RequestError):
    status = 404
    code = "not_found"


class StudyDiffersError(RequestError):
    """The name is taken by a study with other settings; `errors` names them."""

    status = 409
    code = "study_differs"


class LeaseLostError(RequestError):
    """The job is no longer this attempt's."""

    status = 409
    code = "lease_lost"


class UpgradeNeededError(RequestError):
    """Worker and service speak different versions of the protocol."""

    status = 409
    code = "upgrade_needed"


class InvalidError(RequestError):
    status = 422
    code = "invalid"


class UnknownArtefactError(RequestError):
    """A message names an artefact that was never uploaded."""

    status = 422
    code = "unknown_artefact"


class HashMismatchError(RequestError):
    """The content is not what its name says."""

    status = 422
    code = "hash_mismatch"


class StoreUnavailableError(RequestError):
    """The database does not answer, or is busy for too long; the request may be sent again."""

    status = 503
    code = "store_unavailable"


class StorageFullError(RequestError):
    status = 507
    code = "storage_full"
