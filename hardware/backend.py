"""What a runtime must offer to be measured, and which runtimes there are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from encoders.values import Head
from hardware.cores import available_cores, core_quota
from hardware.tpu.targets import not_estimable
from hardware.values import Device, DeviceProfile, Runtime
from search_space import Architecture

INPUTS = 8
"""Different inputs that the calls of a measurement rotate through."""


class Stopwatch(Protocol):
    """How one call is timed on a runtime."""

    def seconds(self, call: Callable[[], None]) -> float:
        """Run `call` once and return its duration, waiting for the device included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An architecture ready to be timed. Each `call` runs the next of `INPUTS` inputs through the model.

    `load_s` is the time to build or read the model and to make the inputs on the device, `compile_s` to compile it
    ahead of time.
    """

    call: Callable[[], None]
    stopwatch: Stopwatch
    load_s: float
    compile_s: float = 0.0


class Backend(Protocol):
    """One runtime on one kind of device."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        """Read the model in the folder `checkpoint`, or build one with random weights; its inputs have random ids.

        What is random comes from `seed`. Sets the runtime's number of threads for the whole process, so it is called in
        a process of its own, before anything else of the runtime.

        Raises:
            CheckpointError: the checkpoint is of another architecture or head.
        """
        ...


class WallClock:
    """Stopwatch of runtimes whose call returns when its work is done."""

    def seconds(self, call: Callable[[], None]) -> float:
        start = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - start) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    module: str
    """Has the backend as `BACKEND`; importing it imports the runtime."""
    package: str


_REGISTRY = {(Device.CPU, Runtime.TORCH): _Entry(module="hardware.torch_cpu", package="torch")}


def backend_module(profile: DeviceProfile) -> str:
    """Name of the module that holds the profile's backend."""
    return _REGISTRY[profile.device, profile.runtime].module


def backend(profile: DeviceProfile) -> Backend:
    """The backend that measures this profile; imports its runtime."""
    return cast(Backend, import_module(backend_module(profile)).BACKEND)


def supports(profile: DeviceProfile) -> str | None:
    """None if this machine can measure that profile, or estimate for the chip that it names, else the reason why not.

    Imports no runtime.
    """
    if not hasattr(os, "fork"):
        return "measuring needs a system that can fork, such as Linux or macOS"
    if profile.chip:
        return not_estimable(profile)
    entry = _REGISTRY.get((profile.device, profile.runtime))
    if entry is None:
        return f"there is no backend for runtime {profile.runtime} on device {profile.device}"
    if find_spec(entry.package) is None:
        return f"the package {entry.package} is not installed; install stillhouse[worker]"
    cores = len(available_cores())
    if profile.threads > cores:
        return f"the profile asks for {profile.threads} threads, this process may use {cores} cores"
    quota = core_quota()
    if quota is not None and profile.threads > quota:
        return f"the profile asks for {profile.threads} threads, the container's limit grants {quota:g} cores"
    return None
