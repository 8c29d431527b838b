"""What can go wrong between a dataset and a trained student."""


class DistillationError(Exception):
    """Base of this package's errors."""


class DataError(DistillationError, ValueError):
    """A dataset that cannot be read; the message names the file, or the key of the study file that repairs it."""


class TeacherError(DistillationError, ValueError):
    """A teacher that does not fit the data, the recipe or the student."""


class DivergedError(DistillationError, ArithmeticError):
    """The loss or its gradient is no longer a finite number."""


class CheckpointError(DistillationError, ValueError):
    """A checkpoint that is not whole, or of another training than the one resumed."""


class SaveError(DistillationError, OSError):
    """Something could not be written (a full disk, say); nothing of it is left."""


class Interrupted(DistillationError):  # noqa: N818 (nothing went wrong: somebody asked)
    """Training was asked to stop, and did at a point from which it can be resumed."""
