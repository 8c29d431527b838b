"""Whether a device slowed down, and what energy it drew, while a round was timed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hardware.cores import CGROUP, TOPOLOGY, available_cores
from hardware.nvml import Gpu
from hardware.values import Device

MOST_DROP = 0.05
"""How far a GPU's clock may fall below that of the round's beginning; it moves by a step or two of 1 % in any case."""

MOST_HELD = 0.02
"""Largest share of a round's wall time for which a container's limit may have stopped a process of it."""

UNTOLD = 1.1
"""The factor that is taken where a device tells that it was slowed down, and not by how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """What slowed a device down, and the factor by which a call may have taken longer for it, at least 1."""

    reason: str
    factor: float


class Watch(Protocol):
    """Looks at a device from its construction on."""

    def look(self) -> None:
        """Take note of the device between two calls; costs well below a millisecond."""
        ...

    def slowed(self) -> Slowdown | None:
        """What slowed the device down since the beginning, None for nothing that could be seen."""
        ...

    def energy_j(self) -> float | None:
        """What it drew since the beginning."""
        ...


class Blind:
    """Of a device that tells nothing."""

    def look(self) -> None:
        pass

    def slowed(self) -> Slowdown | None:
        return None

    def energy_j(self) -> float | None:
        return None


class CpuWatch(Blind):
    """Linux's counters of a core's thermal throttling, and of a container's limit."""

    def __init__(self, topology: Path = TOPOLOGY, cgroup: Path = CGROUP) -> None:
        self._topology, self._cgroup = topology, cgroup
        self._hot, self._held_us = self._read()
        self._start_s = time.monotonic()

    def slowed(self) -> Slowdown | None:
        hot, held_us = self._read()
        if hot > self._hot:
            return Slowdown(reason="a core was too warm", factor=UNTOLD)
        held = (held_us - self._held_us) / 1e6 / max(time.monotonic() - self._start_s, 1e-9)
        if held > MOST_HELD:
            return Slowdown(reason="the container's limit of CPU time was used up", factor=1 / (1 - min(held, 0.9)))
        return None

    def _read(self) -> tuple[int, int]:
        """How often this process's cores were throttled; how many microseconds the limit has held threads back."""
        files = [
            self._topology / f"cpu{core}" / "thermal_throttle" / f"{what}_throttle_count"
            for core in available_cores()
            for what in ("core", "package")
        ]
        return sum(map(_number, files)), _field(self._cgroup / "cpu.stat", "throttled_usec")


class GpuWatch:
    """A GPU's clock against that of the beginning, which should be after the warm-up."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._first_mhz = self._least_mhz = gpu.clock_mhz()
        self._reason = gpu.slowed()
        self._first_j = gpu.energy_j()

    def look(self) -> None:
        clock_mhz = self._gpu.clock_mhz()
        if clock_mhz is not None and self._least_mhz is not None:
            self._least_mhz = min(self._least_mhz, clock_mhz)
        self._reason = self._reason or self._gpu.slowed()

    def slowed(self) -> Slowdown | None:
        first, least = self._first_mhz or 1, self._least_mhz or 1
        fell = max(first / least, 1.0)
        if self._reason is not None:
            return Slowdown(reason=f"the GPU's clock was held down: {self._reason}", factor=max(fell, UNTOLD))
        if least < (1 - MOST_DROP) * first:
            return Slowdown(reason=f"the GPU's clock fell from {first} to {least} MHz", factor=fell)
        return None

    def energy_j(self) -> float | None:
        now_j = self._gpu.energy_j()
        return None if now_j is None or self._first_j is None else now_j - self._first_j


def watch(gpu: Gpu | None, device: Device) -> Watch:
    """For a CPU; else for this GPU, where there is one to ask."""
    if not device.is_accelerator:
        return CpuWatch()
    return Blind() if gpu is None else GpuWatch(gpu)


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _field(file: Path, name: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
