"""What this machine can measure, as the worker tells the service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from hardware.backend import supports
from hardware.cores import available_cores, core_quota
from hardware.drift import DriftWatch, ReferenceTime, tolerance
from hardware.environment import environment, hardware_key
from hardware.tpu.estimator import estimator_key
from hardware.tpu.targets import TARGETS
from hardware.values import MOST, Device, DeviceProfile, Dtype, HardwareError, Runtime
from protocol.jobs import Reading
from protocol.targets import ATTACHED, Target

log = logging.getLogger(__name__)


def targets() -> tuple[Target, ...]:
    """What can be measured here: one for each runtime on each device, and one for each chip that is estimated for.

    Cheap enough to be asked between two jobs: a machine's hardware key may change while the worker lives.
    """
    return tuple(_found())


def drift_watch(read: Callable[[DeviceProfile], ReferenceTime] | None = None) -> DriftWatch:
    """A watch over the first runtime of each device that is attached here."""
    first: dict[Device, DeviceProfile] = {}
    for target in targets():
        if ATTACHED in target.chips:
            profile = DeviceProfile(device=target.device, runtime=target.runtime, dtype=target.dtypes[0])
            first.setdefault(target.device, profile)
    profiles = tuple(first.values())
    return DriftWatch(profiles, failed=_failed) if read is None else DriftWatch(profiles, read=read, failed=_failed)


def reading_of(time: ReferenceTime) -> Reading:
    return Reading(
        target=f"{time.profile.device}/{time.profile.runtime}/{time.profile.dtype}",
        hardware_key=time.hardware_key,
        p50_s=time.p50_s,
        disturbed=time.disturbed,
        tolerance=tolerance(time.profile.device),
        measured_at=datetime.fromisoformat(time.measured_at),
    )


def _found() -> Iterator[Target]:
    threads = _most_threads()
    for device in Device:
        for runtime in Runtime:
            dtypes = _dtypes(device, runtime)
            if dtypes:
                profile = DeviceProfile(device=device, runtime=runtime, dtype=dtypes[0])
                key = hardware_key(environment(profile))
                yield Target(device=device, runtime=runtime, dtypes=dtypes, threads=threads, hardware_key=key)
            for chip in TARGETS if device is Device.TPU else ():
                dtypes = _dtypes(device, runtime, chip)
                if dtypes:
                    key = estimator_key(chip)
                    yield Target(
                        device=device, runtime=runtime, dtypes=dtypes, threads=threads, chips=(chip,), hardware_key=key
                    )


def _dtypes(device: Device, runtime: Runtime, chip: str = ATTACHED) -> tuple[Dtype, ...]:
    profiles = (DeviceProfile(device=device, runtime=runtime, dtype=dtype, chip=chip) for dtype in Dtype)
    return tuple(profile.dtype for profile in profiles if supports(profile) is None)


def _most_threads() -> int:
    quota = core_quota()
    cores = len(available_cores())
    return max(1, min(MOST["threads"], cores if quota is None else min(cores, int(quota))))


def _failed(profile: DeviceProfile, error: HardwareError | OSError) -> None:
    log.warning("the reference architecture could not be measured on %s: %s", profile.label, error)
