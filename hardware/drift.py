"""What the reference architecture takes on this machine now: told again and again, it shows how the machine drifts."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from hardware import plan
from hardware.errors import BusyError
from hardware.judgement import doubts_of
from hardware.lock import measuring
from hardware.plan import REFERENCE, REFERENCE_HEAD
from hardware.procedure import measure
from hardware.values import Device, DeviceProfile, Effort, HardwareError, Measurement

INTERVAL_S = 3600.0
"""Between two readings of one profile."""

PROCESSES = 3
"""Fresh processes of one reading: one alone may have been unlucky with its memory."""

BUDGET_S = 5.0
"""No further process once so much was spent on a reading after its first, which may have had to load the runtime."""

BUSY_S = 60.0
"""Until the next try where the device was in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTime:
    """The median over the processes of their medians, and when the last of them was measured (ISO 8601, UTC).

    `disturbed` says that other work shared the cores of one of them, or was busy beside it.
    """

    profile: DeviceProfile
    hardware_key: str
    p50_s: float
    disturbed: bool
    measured_at: str


def tolerance(device: Device) -> float:
    """How far the reference may move where nothing disturbs it, as a logarithm."""
    return plan.tolerance(device).moved


def reference_profile(profile: DeviceProfile) -> DeviceProfile:
    """The profile that is read in place of this one: one text on one thread, on its device, runtime and dtype."""
    return replace(profile, batch=1, length=128, threads=1)


def read_reference(
    profile: DeviceProfile,
    *,
    measure_one: Callable[[DeviceProfile], Measurement] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ReferenceTime:
    """Measure the reference architecture, in at most a few seconds once the runtime is loaded.

    Raises:
        BusyError: something of ours computes or measures on the device; a reading is not worth the wait.
        MeasurementError: as `measure`.
    """
    measure_one = measure_one or _measure
    seen = [measure_one(reference_profile(profile))]
    start_s = clock()
    # What is disturbed counts for nothing: no use in going on.
    while len(seen) < PROCESSES and not doubts_of(seen[-1]) and clock() - start_s < BUDGET_S:
        seen.append(measure_one(reference_profile(profile)))
    return ReferenceTime(
        profile=reference_profile(profile),
        hardware_key=seen[-1].hardware_key,
        p50_s=statistics.median(each.p50.value_s for each in seen),
        disturbed=any(doubts_of(each) for each in seen),
        measured_at=seen[-1].measured_at,
    )


class DriftWatch:
    """Reads each profile's reference when its time has come."""

    def __init__(
        self,
        profiles: tuple[DeviceProfile, ...],
        *,
        read: Callable[[DeviceProfile], ReferenceTime] = read_reference,
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[DeviceProfile, HardwareError | OSError], None],
    ) -> None:
        """`failed` hears of a reading that broke, also for want of a lock or of room; the next try comes as late as the
        next reading would.
        """
        self._read, self._clock, self._failed = read, clock, failed
        self._next_s = dict.fromkeys(profiles, -math.inf)

    def due(self) -> tuple[ReferenceTime, ...]:
        """The readings that were due, taken now; most often none."""
        taken = []
        for profile, next_s in self._next_s.items():
            now_s = self._clock()
            if now_s < next_s:
                continue
            self._next_s[profile] = now_s + INTERVAL_S
            try:
                taken.append(self._read(profile))
            except BusyError:
                self._next_s[profile] = now_s + BUSY_S
            except (HardwareError, OSError) as error:  # a reading is never worth the worker
                self._failed(profile, error)
        return tuple(taken)


def _measure(profile: DeviceProfile) -> Measurement:
    return measure(
        REFERENCE, REFERENCE_HEAD, profile, Effort.QUICK, asks_machine=True, lock=partial(measuring, wait=False)
    )
