"""What NVIDIA's management library tells of the GPU that is measured on: model, driver, clocks, work, energy.

Nothing here starts CUDA. Everything is None where the library, its Python package or the one number is not to be had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

SLOWED = {
    0x08: "its hardware slowed it down",
    0x20: "it was too warm",
    0x40: "it was far too warm",
    0x80: "its power supply asked for less",
}
"""Bits of the reasons for lower clocks that are no normal state (NVML API reference, nvmlClocksEventReasons).

Bit 0x04, the limit of the board's power, is not among them: large batches run at it all the time.
"""


class Gpu:
    """One GPU, as a session with the library sees it."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def stamp(self) -> dict[str, str]:
        """What lasts: the model, the driver, the highest clocks in MHz and those set for applications, the limit of its
        power in W. What `nvidia-smi --lock-gpu-clocks` has set, the library does not tell.
        """
        nvml, handle = self._nvml, self._handle
        told = {
            "gpu": self._told(lambda: nvml.nvmlDeviceGetName(handle)),
            "driver": self._told(nvml.nvmlSystemGetDriverVersion),
            "gpu_clock_mhz": self._told(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
            "gpu_memory_clock_mhz": self._told(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            "gpu_application_clock_mhz": self._told(
                lambda: nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_SM)
            ),
            "gpu_application_memory_clock_mhz": self._told(
                lambda: nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_MEM)
            ),
            "gpu_power_limit_w": self._told(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle) // 1000),
        }
        return {name: _text(value) for name, value in told.items() if value is not None}

    def clock_mhz(self) -> int | None:
        """The clock of its processors at this moment."""
        clock: int | None = self._told(
            lambda: self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM)
        )
        return clock

    def used(self) -> float | None:
        """Share of the last second or less in which anybody's work ran on it."""
        percent = self._told(lambda: self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        return None if percent is None else percent / 100

    def slowed(self) -> str | None:
        """Why its clocks are held down at this moment, other than by its normal limits."""
        reasons = self._told(lambda: self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
        return next((words for bit, words in SLOWED.items() if reasons is not None and reasons & bit), None)

    def energy_j(self) -> float | None:
        """The energy that it has drawn since the driver was loaded; GPUs before Volta do not count it."""
        energy_mj = self._told(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return None if energy_mj is None else energy_mj / 1000

    def _told(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (self._nvml.NVMLError, AttributeError):  # a library without the function is an older one, or a newer
            return None


@contextmanager
def gpu() -> Iterator[Gpu | None]:
    """The GPU that CUDA calls its first.

    Only with `CUDA_DEVICE_ORDER=PCI_BUS_ID` does CUDA number them as the library does.
    """
    if find_spec("pynvml") is None:
        yield None
        return
    nvml = import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        yield None
        return
    try:
        yield _first(nvml)
    finally:
        nvml.nvmlShutdown()


def first_visible() -> str:
    """The number or the UUID of the GPU that CUDA calls its first."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"


def _first(nvml: Any) -> Gpu | None:
    visible = first_visible()
    try:
        if visible.isdigit():
            return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(int(visible)))
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(visible))
    except nvml.NVMLError:
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
