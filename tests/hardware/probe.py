"""What a test asks of a backend in a process of its own, as it runs when it is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from encoders.values import Head
from hardware.backend import INPUTS, backend
from hardware.cores import pin
from hardware.values import DeviceProfile
from search_space import Architecture


def answers(request: dict[str, Any]) -> dict[str, Any]:
    """What the first `INPUTS` + 1 calls give, and what was told of the preparation."""
    tempfile.tempdir = request["scratch"]
    profile = DeviceProfile(**request["profile"])
    pin(profile.threads)
    checkpoint = request["checkpoint"]
    prepared = backend(profile).prepare(
        Architecture.from_dict(request["architecture"]),
        Head(**request["head"]),
        profile,
        request["seed"],
        None if checkpoint is None else Path(checkpoint),
    )
    found, seconds = [], []
    for _ in range(INPUTS + 1):
        given: list[Any] = []
        seconds.append(prepared.stopwatch.seconds(lambda given=given: given.append(prepared.call())))
        found.append([array(each).tolist() for each in given[0]])
    gauge = prepared.gauge
    return {
        "outputs": found,
        "seconds": seconds,
        "dtype": str(given[0][0].dtype if hasattr(given[0][0], "dtype") else "float32").removeprefix("torch."),
        "load_s": prepared.load_s,
        "compile_s": prepared.compile_s,
        "copy_s": prepared.copy_s,
        "caller_computes": prepared.caller_computes,
        "busy_s": None if gauge is None else gauge.busy_s(prepared.call, seconds[-1]),
        "peak": None if gauge is None else gauge.peak_memory_bytes(),
    }


def array(output: Any) -> Any:
    """Any runtime's array as numpy's, in float32."""
    if hasattr(output, "detach"):
        return output.detach().float().cpu().numpy()
    return np.asarray(output.numpy() if hasattr(output, "numpy") else output).astype(np.float32)


def branching(request: dict[str, Any]) -> None:
    """Gives the compiler a function whose path depends on its data."""
    import torch

    from hardware.torch_compiled import compiled

    tempfile.tempdir = request["scratch"]
    compiled(lambda ids: (ids + 1,) if ids.sum() > 0 else (ids,), torch.ones(3))
