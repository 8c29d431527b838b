"""PyTorch's eager kernels on CUDA, captured once as a graph and replayed: one launch instead of hundreds."""

# mypy: allow-untyped-calls
# (torch.cuda carries few types)

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from encoders.errors import first_line
from encoders.values import Head
from hardware.backend import Prepared
from hardware.errors import CompilationError
from hardware.torch_model import CudaClock, CudaGauge, Loaded, load
from hardware.values import DeviceProfile
from search_space import Architecture

WARM_CALLS = 3
"""Calls before the capture, in which libraries choose their kernels and make their workspaces."""


class CudaGraphs:
    """A graph reads its input at one place: each call brings its ids there first, as every user of it must."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        loaded = load(architecture, head, profile, seed, checkpoint)
        inputs = loaded.rotating()
        place = torch.empty_like(loaded.inputs[0])
        start = time.perf_counter()
        graph, outputs = _captured(loaded, place)
        compile_s = time.perf_counter() - start

        def call() -> object:
            place.copy_(next(inputs))
            graph.replay()
            return outputs

        return Prepared(
            call=call,
            stopwatch=CudaClock(),
            gauge=CudaGauge(),
            caller_computes=False,
            load_s=loaded.load_s,
            copy_s=loaded.copy_s,
            compile_s=compile_s,
        )


def _captured(loaded: Loaded, place: Tensor) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
    """The graph, and where each replay leaves its logits.

    References: PyTorch, "CUDA semantics", section CUDA graphs: warm up on another stream, then capture.
    """
    place.copy_(loaded.inputs[0])
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.inference_mode():
            with torch.cuda.stream(side):
                for _ in range(WARM_CALLS):
                    loaded.run(place)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                outputs = loaded.run(place)
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # CUDA's errors have no type of their own
        raise CompilationError(f"the model cannot be captured as a CUDA graph: {first_line(error)}") from error
    return graph, outputs


BACKEND = CudaGraphs()
