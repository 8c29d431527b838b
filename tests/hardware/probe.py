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


def bound(request: dict[str, Any]) -> dict[str, Any]:
    """What an exported model answers with its inputs bound to the CPU, and as it is called there otherwise."""
    import onnxruntime

    from hardware import exported, onnx_session
    from hardware.inputs import token_ids

    profile = DeviceProfile(**request["profile"])
    session = onnx_session._session(onnxruntime, Path(request["checkpoint"]) / exported.ONNX, profile)
    expected = [node.name for node in session.get_inputs()]
    architecture = Architecture.from_dict(request["architecture"])
    feeds = []
    for ids_BL in token_ids(architecture, profile, request["seed"]):
        values = {"input_ids": ids_BL, "attention_mask": np.ones_like(ids_BL), "token_type_ids": np.zeros_like(ids_BL)}
        feeds.append({name: values[name] for name in expected})
    copy_s, call = onnx_session._bound(session, feeds, ["logits"], "cpu")
    plain = onnx_session._plain(session, feeds, ["logits"])
    answers = [[array(each).tolist() for each in way()] for way in (call, plain) for _ in feeds]
    return {"copy_s": copy_s, "bound": answers[: len(feeds)], "plain": answers[len(feeds) :]}
