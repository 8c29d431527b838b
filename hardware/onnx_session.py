"""ONNX Runtime on the exported model, in float32 or quantised, on the CPU and on CUDA."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from encoders.errors import first_line
from encoders.values import Head
from hardware import exported
from hardware.backend import Prepared, WallClock
from hardware.errors import CompilationError, MeasurementError
from hardware.inputs import output_names, token_ids
from hardware.values import Device, DeviceProfile
from search_space import Architecture

ERRORS_ONLY = 3


class OnnxSession:
    """A session that may fuse what it likes, on its own threads, of which the calling one is the first."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        if checkpoint is None or not (checkpoint / exported.ONNX).is_file():
            raise MeasurementError(f"ONNX Runtime needs an exported model; there is no {exported.ONNX} in {checkpoint}")
        # Imported here and not above: it starts a thread, and a process with threads must not fork.
        onnxruntime = import_module("onnxruntime")
        start = time.perf_counter()
        session = _session(onnxruntime, checkpoint / exported.ONNX, profile)
        expected = [node.name for node in session.get_inputs()]
        feeds = []
        for ids_BL in token_ids(architecture, profile, seed):
            named = {
                "input_ids": ids_BL,
                "attention_mask": np.ones_like(ids_BL),
                "token_type_ids": np.zeros_like(ids_BL),
            }
            feeds.append({name: named[name] for name in expected})
        names = list(output_names(head))
        on_gpu = profile.device is Device.CUDA
        copy_s, call = _bound(session, feeds, names, "cuda") if on_gpu else (None, _plain(session, feeds, names))
        load_s = time.perf_counter() - start
        return Prepared(call=call, stopwatch=WallClock(), load_s=load_s, copy_s=copy_s, caller_computes=not on_gpu)


def _session(onnxruntime: Any, model: Path, profile: DeviceProfile) -> Any:
    """Optimising the graph is part of it, as it is wherever such a file is served: it counts as loading.

    Raises:
        CompilationError: the runtime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = profile.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # TF32 would make products of float32 less than float32.
    providers: list[Any] = (
        [("CUDAExecutionProvider", {"use_tf32": "0"})] if profile.device is Device.CUDA else ["CPUExecutionProvider"]
    )
    if profile.device is Device.CUDA and hasattr(onnxruntime, "preload_dlls"):
        # Where CUDA's libraries come from packages, PyTorch would have found them; it is not imported here.
        onnxruntime.preload_dlls()
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base
        raise CompilationError(f"ONNX Runtime does not take the model: {first_line(error)}") from error
    wanted = "CUDAExecutionProvider" if profile.device is Device.CUDA else "CPUExecutionProvider"
    if wanted not in session.get_providers():  # it falls back to the CPU with no more than a word in its log
        raise MeasurementError(f"ONNX Runtime did not start on {profile.device}; it would run on the CPU")
    return session


def _plain(session: Any, feeds: list[dict[str, Any]], names: list[str]) -> Callable[[], object]:
    rotating = itertools.cycle(feeds)
    return lambda: session.run(names, next(rotating))


def _bound(
    session: Any, feeds: list[dict[str, Any]], names: list[str], device: str
) -> tuple[float, Callable[[], object]]:
    """Inputs that lie on the device already, outputs that stay there; a run ends when its stream has.

    And the median of the seconds that the ids of one input took there.
    """
    onnxruntime = import_module("onnxruntime")
    bindings, copies_s = [], []
    for feed in feeds:
        binding = session.io_binding()
        for name, array in feed.items():
            start = time.perf_counter()
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)
            if name == "input_ids":
                copies_s.append(time.perf_counter() - start)
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, device)
        bindings.append(binding)
    rotating = itertools.cycle(bindings)

    def call() -> object:
        binding = next(rotating)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding.get_outputs()

    return statistics.median(copies_s), call


BACKEND = OnnxSession()
