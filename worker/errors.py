"""What can go wrong in a worker."""


class WorkerError(Exception):
    """Base of this package's errors."""


class Interrupted(WorkerError):  # noqa: N818 (not an error of the job)
    """A job stopped because it was asked to; its newest checkpoint was handed to the reporter."""


class WorkerSetupError(WorkerError):
    """A worker that cannot start as it was asked to."""
