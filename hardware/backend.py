"""What a runtime must offer to be measured, and which runtimes there are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from encoders.values import Head
from hardware import presence
from hardware.cores import available_cores, core_quota
from hardware.tpu.targets import not_estimable
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from search_space import Architecture

INPUTS = 8
"""Different inputs that the calls of a measurement rotate through."""


class Stopwatch(Protocol):
    """How one call is timed on a runtime."""

    def seconds(self, call: Callable[[], object]) -> float:
        """Run `call` once and return its duration, waiting for the device included."""
        ...


class Gauge(Protocol):
    """What an accelerator tells of itself."""

    def busy_s(self, call: Callable[[], object], call_s: float) -> float | None:
        """Run `call` once, all its work queued before the device begins, and return the device's time for it.

        `call_s` is about how long the host needs to queue it. None where the runtime cannot tell.
        """
        ...

    def peak_memory_bytes(self) -> int | None:
        """The most that the runtime had allocated on the device, its own context aside."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An architecture ready to be timed.

    Each `call` runs the next of `INPUTS` inputs through the model and returns its logits on the device: a sequence of
    one array, of question answering two. `load_s` is the time to build or read the model and to make the inputs on the
    device, `compile_s` to compile it ahead of time, `copy_s` to bring one input from the host to an accelerator.
    `caller_computes` says whether the calling thread takes part in all that is computed, and does not sleep meanwhile.
    """

    call: Callable[[], object]
    stopwatch: Stopwatch
    load_s: float
    compile_s: float = 0.0
    copy_s: float | None = None
    gauge: Gauge | None = None
    caller_computes: bool = True


class Backend(Protocol):
    """One runtime on one or more kinds of device."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        """Read the model in the folder `checkpoint`, or build one with random weights; its inputs have random ids.

        What is random comes from `seed`. A runtime with an `exporter` reads the folder that this wrote. Sets the
        runtime's number of threads for the whole process, so it is called in a process of its own, before anything else
        of the runtime.

        Raises:
            CheckpointError: the checkpoint is of another architecture or head.
            CompilationError: the runtime cannot compile the model.
        """
        ...


class WallClock:
    """Stopwatch of runtimes whose call returns when its work is done."""

    def seconds(self, call: Callable[[], object]) -> float:
        start = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - start) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One backend, as much as can be told without importing its runtime.

    `module` has the backend as `BACKEND`; importing it imports what may be there before a fork. `packages` must be
    installed, by the extra `extra`. `lacks` tells what else is missing, None for nothing. `exporter` ("module:function"
    of `hardware.exporting`) writes the folder that the backend reads, where a checkpoint is given, or `always`.
    `versions` are the distributions that may change a latency, `sources` the modules of ours that say what is computed.
    `allowance_s` is what a process may take to load and to compile, besides its calls.
    """

    module: str
    packages: tuple[str, ...]
    versions: tuple[str, ...]
    sources: tuple[str, ...] = ("encoders.modeling_stillhouse",)
    extra: str = "worker"
    dtypes: tuple[Dtype, ...] = tuple(Dtype)
    lacks: Callable[[], str | None] = lambda: None
    exporter: str = ""
    always: bool = False
    allowance_s: float = 60.0


_TORCH = _Entry(module="hardware.torch_eager", packages=("torch",), versions=("torch",))
_COMPILED = replace(_TORCH, module="hardware.torch_compiled", allowance_s=600.0)
_JAX = _Entry(
    module="hardware.jax_jit",
    packages=("jax", "safetensors"),
    versions=("jax", "jaxlib"),
    sources=("encoders.jax_encoder",),
    extra="jax",
    exporter="hardware.exporting:arrays",
    allowance_s=240.0,
)
_ONNX = _Entry(
    module="hardware.onnx_session",
    packages=("onnxruntime", "onnx", "onnxscript", "torch"),
    # torch and onnxscript write the graph that is run.
    versions=("onnxruntime", "onnxruntime-gpu", "onnxscript", "torch"),
    sources=("encoders.modeling_stillhouse", "encoders.onnx_export", "hardware.exporting"),
    extra="onnx",
    dtypes=(Dtype.FLOAT32,),
    exporter="hardware.exporting:onnx",
    always=True,
)
_CUDA_LIBRARIES = ("nvidia-cublas", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")

_REGISTRY = {
    (Device.CPU, Runtime.TORCH): _TORCH,
    (Device.CPU, Runtime.TORCH_COMPILE): replace(_COMPILED, lacks=presence.no_compiler),
    (Device.CPU, Runtime.JAX): _JAX,
    (Device.CPU, Runtime.ONNX): _ONNX,
    (Device.CPU, Runtime.ONNX_INT8): replace(_ONNX, exporter="hardware.exporting:onnx_int8"),
    (Device.CUDA, Runtime.TORCH): replace(
        _TORCH, versions=("torch", *_CUDA_LIBRARIES), lacks=presence.torch_without_cuda
    ),
    (Device.CUDA, Runtime.TORCH_COMPILE): replace(
        _COMPILED,
        packages=("torch", "triton"),
        versions=("torch", "triton", *_CUDA_LIBRARIES),
        lacks=presence.torch_without_cuda,
    ),
    (Device.CUDA, Runtime.CUDA_GRAPHS): replace(
        _TORCH,
        module="hardware.cuda_graphs",
        versions=("torch", *_CUDA_LIBRARIES),
        lacks=presence.torch_without_cuda,
    ),
    (Device.CUDA, Runtime.JAX): replace(
        _JAX,
        versions=(*_JAX.versions, "jax-cuda12-plugin", "jax-cuda13-plugin", *_CUDA_LIBRARIES),
        lacks=presence.jax_without_cuda,
    ),
    (Device.CUDA, Runtime.ONNX): replace(
        _ONNX, versions=(*_ONNX.versions, *_CUDA_LIBRARIES), lacks=presence.onnx_without_cuda
    ),
    (Device.TPU, Runtime.JAX): replace(
        _JAX, packages=(*_JAX.packages, "libtpu"), versions=(*_JAX.versions, "libtpu"), extra="tpu"
    ),
}


def backend_module(profile: DeviceProfile) -> str:
    """Name of the module that holds the profile's backend."""
    return _REGISTRY[profile.device, profile.runtime].module


def backend(profile: DeviceProfile) -> Backend:
    """The backend that measures this profile; imports its runtime."""
    return cast(Backend, import_module(backend_module(profile)).BACKEND)


def exporter(profile: DeviceProfile, checkpoint: Path | None) -> str | None:
    """The "module:function" that writes what the backend reads instead of the checkpoint; None where nothing does."""
    entry = _REGISTRY[profile.device, profile.runtime]
    return entry.exporter if entry.exporter and (entry.always or checkpoint is not None) else None


def allowance_s(profile: DeviceProfile) -> float:
    """What a process may take besides its calls: to load and to compile."""
    return _REGISTRY[profile.device, profile.runtime].allowance_s


def versions(profile: DeviceProfile) -> tuple[str, ...]:
    """The distributions whose version may change a latency of this profile, installed or not."""
    entry = _REGISTRY.get((profile.device, profile.runtime))
    return () if entry is None else entry.versions


def sources(profile: DeviceProfile) -> tuple[str, ...]:
    """The modules of ours that say what is computed for this profile."""
    entry = _REGISTRY.get((profile.device, profile.runtime))
    return () if entry is None else entry.sources


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
        known = ", ".join(runtime for device, runtime in _REGISTRY if device is profile.device)
        return f"there is no backend for runtime {profile.runtime} on device {profile.device}; there are {known}"
    if profile.dtype not in entry.dtypes:
        return f"runtime {profile.runtime} computes in {', '.join(entry.dtypes)}, not in {profile.dtype}"
    return presence.no_device(profile.device) or _unready(entry) or _few_cores(profile.threads)


def _unready(entry: _Entry) -> str | None:
    missing = [name for name in entry.packages if find_spec(name) is None]
    if missing:
        names = f"the package {missing[0]} is" if len(missing) == 1 else f"the packages {', '.join(missing)} are"
        return f"{names} not installed; install stillhouse[{entry.extra}]"
    return entry.lacks()


def _few_cores(threads: int) -> str | None:
    cores = len(available_cores())
    if threads > cores:
        return f"the profile asks for {threads} threads, this process may use {cores} cores"
    quota = core_quota()
    if quota is not None and threads > quota:
        return f"the profile asks for {threads} threads, the container's limit grants {quota:g} cores"
    return None
