"""What can go wrong while measuring."""

from __future__ import annotations

from hardware.values import HardwareError


class MeasurementError(HardwareError):
    """A measurement that broke, or one that was asked wrongly; there is no latency to tell."""


class UnsupportedProfileError(MeasurementError):
    """This machine cannot measure that profile; the message says why."""


class OutOfMemoryError(MeasurementError):
    """The architecture does not fit into this machine's memory at this profile: infeasible here, not a failure."""


class HangError(MeasurementError):
    """The process that measured did not end within its limit and was killed."""


class BusyError(HardwareError):
    """Something of ours measures on the device, and who asked did not want to wait."""


class LockError(HardwareError):
    """A lock that nobody can have: its file cannot be opened, or the thread that wants to measure computes itself."""


class CompilationError(MeasurementError):
    """The runtime's compiler does not take the model."""
