"""A device that somebody else uses: no fault of the job's, and over when they have ended."""

from __future__ import annotations

from hardware.errors import BusyError
from hardware.values import HardwareError
from worker.lack import Lack

_WORDS = (
    "TPU is already in use",
    "libtpu.so already in use",
    "libtpu multi-process lockfile",
    "libtpu_lockfile",
    "busy or unavailable",  # CUDA, of a GPU in exclusive mode
)
"""What runtimes say that do not start on such a device."""


def device_in_use(error: BaseException) -> Lack | None:
    """That a device is in use by somebody who is not ours, if that is where the error comes from."""
    message = " ".join(str(error).split())
    said = isinstance(error, HardwareError) and any(words in message for words in _WORDS)
    if not said and not isinstance(error, BusyError):
        return None
    return Lack(
        what=message,
        until="the study goes on by itself when the device is free",
        over="the study goes on: a job has ended",
    )
