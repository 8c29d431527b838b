"""JAX, compiled ahead of time by XLA, on the CPU, on CUDA and on TPUs."""

# mypy: allow-untyped-calls
# (jax's configuration carries no types)

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from jax import Array
from safetensors.numpy import load_file

from encoders.errors import first_line
from encoders.jax_encoder import apply, parameter_shapes
from encoders.values import Head
from hardware import exported
from hardware.backend import Prepared
from hardware.errors import CompilationError, UnsupportedProfileError
from hardware.inputs import output_names, token_ids
from hardware.values import DeviceProfile, Dtype
from search_space import Architecture

DEVIATION = 0.02
"""Standard deviation of random weights, as the PyTorch model starts."""

NO_MEMORY = "RESOURCE_EXHAUSTED"


class JaxJit:
    """The encoder's JAX twin, compiled for the shapes of its inputs before the first call."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        device = _device(profile)
        start = time.perf_counter()
        arrays = _random(architecture, head, seed) if checkpoint is None else load_file(checkpoint / exported.WEIGHTS)
        eps = {} if checkpoint is None else json.loads((checkpoint / exported.NORMS).read_text())
        dtype = jax.numpy.dtype(profile.dtype.value)
        parameters = {name: jax.device_put(array.astype(dtype), device) for name, array in arrays.items()}
        on_host = [ids_BL.astype(np.int32) for ids_BL in token_ids(architecture, profile, seed)]
        copies_s, inputs = zip(*(_copied(ids_BL, device) for ids_BL in on_host), strict=True)
        mask_BL = jax.device_put(np.ones_like(on_host[0]), device)
        jax.block_until_ready(parameters)
        load_s = time.perf_counter() - start
        start = time.perf_counter()
        compiled = _compiled(architecture, head, eps, parameters, inputs[0], mask_BL)
        compile_s = time.perf_counter() - start
        rotating = itertools.cycle(inputs)
        return Prepared(
            call=lambda: compiled(parameters, next(rotating), mask_BL),
            stopwatch=JaxClock(),
            gauge=JaxGauge(device) if profile.device.is_accelerator else None,
            load_s=load_s,
            compile_s=compile_s,
            copy_s=statistics.median(copies_s) if profile.device.is_accelerator else None,
            # XLA's own threads compute where there are more than one, and the caller waits for them.
            caller_computes=profile.threads == 1 and not profile.device.is_accelerator,
        )


class JaxClock:
    """JAX returns before the work is done: the wait for the result belongs to the call."""

    def seconds(self, call: Callable[[], object]) -> float:
        start = time.perf_counter_ns()
        jax.block_until_ready(call())
        return (time.perf_counter_ns() - start) / 1e9


class JaxGauge:
    """What XLA's allocator tells; it has no clock of the device for one call."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def busy_s(self, call: Callable[[], object], call_s: float) -> None:
        del call, call_s

    def peak_memory_bytes(self) -> int | None:
        statistics = self._device.memory_stats() or {}
        peak: int | None = statistics.get("peak_bytes_in_use")
        return peak


def _device(profile: DeviceProfile) -> Any:
    """Start JAX on this device alone; it reads all of this when it is first used, not when it is imported.

    Raises:
        UnsupportedProfileError: it does not start there.
    """
    # Of XLA's threads on a CPU; without it there are as many as the process has cores, which is the same when pinned.
    os.environ["NPROC"] = str(profile.threads)
    # Else three quarters of a GPU's memory are taken at once, and its peak tells nothing.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    jax.config.update("jax_platforms", profile.device.value)
    # On a CPU the caller then computes itself, and its CPU time tells whether it had its core.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_enable_compilation_cache", False)
    if profile.device.is_accelerator and profile.dtype is Dtype.FLOAT32:
        # float32 is float32: the default on TPUs and newer GPUs is less.
        jax.config.update("jax_default_matmul_precision", "highest")
    try:
        return jax.devices()[0]
    except RuntimeError as error:
        raise UnsupportedProfileError(f"JAX does not start on {profile.device}: {first_line(error)}") from error


def _compiled(
    architecture: Architecture,
    head: Head,
    eps: Mapping[str, float],
    parameters: Mapping[str, Array],
    ids_BL: Array,
    mask_BL: Array,
) -> Callable[..., object]:
    names = output_names(head)

    def run(parameters: Mapping[str, Array], ids_BL: Array, mask_BL: Array) -> tuple[Array, ...]:
        outputs = apply(parameters, architecture, head, ids_BL, mask_BL, **eps)  # type: ignore[arg-type]
        return tuple(getattr(outputs, name) for name in names)

    try:
        compiled: Callable[..., object] = jax.jit(run).lower(parameters, ids_BL, mask_BL).compile()
    except jax.errors.JaxRuntimeError as error:
        if NO_MEMORY in str(error):
            raise
        raise CompilationError(f"XLA does not compile the model: {first_line(error)}") from error
    return compiled


def _random(architecture: Architecture, head: Head, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Normal weights of deviation 0.02, zero biases, unit norms."""
    generator = np.random.default_rng(seed)
    return {name: _parameter(name, shape, generator) for name, shape in parameter_shapes(architecture, head).items()}


def _parameter(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[Any]:
    if len(shape) > 1:
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(DEVIATION)
    return np.ones(shape, np.float32) if name.endswith("norm.weight") else np.zeros(shape, np.float32)


def _copied(host: npt.NDArray[Any], device: Any) -> tuple[float, Array]:
    start = time.perf_counter()
    copied = jax.block_until_ready(jax.device_put(host, device))
    return time.perf_counter() - start, copied


BACKEND = JaxJit()
