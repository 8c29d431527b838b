"""What a job's exception means for the job."""

from __future__ import annotations

from distillation.errors import DataError, DistillationError, DivergedError, TeacherError
from encoders.errors import (
    CheckpointError,
    EncoderError,
    InitialisationError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from hardware.errors import CompilationError, OutOfMemoryError, UnsupportedProfileError
from hardware.values import HardwareError
from protocol.jobs import Failure, FailureReason
from search_space import SearchSpaceError

INVALID = (
    CheckpointError,
    CompilationError,
    DataError,
    InitialisationError,
    SearchSpaceError,
    SourceNotFoundError,
    TeacherError,
    UnsupportedModelError,
    UnsupportedProfileError,
)
"""What trying again cannot mend: it is in what was asked for."""

LONGEST = 2000


def failure_of(error: BaseException) -> Failure:
    """The failure to report; the traceback belongs in the log."""
    return Failure(reason=_reason(error), message=_message(error)[:LONGEST])


def _reason(error: BaseException) -> FailureReason:
    if isinstance(error, DivergedError):
        return FailureReason.DIVERGED
    if isinstance(error, OutOfMemoryError):
        return FailureReason.OUT_OF_MEMORY
    return FailureReason.INVALID if isinstance(error, INVALID) else FailureReason.ERROR


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (*INVALID, DistillationError, EncoderError, HardwareError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
