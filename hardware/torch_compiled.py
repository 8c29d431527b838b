"""PyTorch, compiled by `torch.compile`, on the CPU and on CUDA."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo.exc
import torch._inductor.compile_fx
from torch import Tensor
from torch._inductor import config as inductor_config

from encoders.errors import first_line
from encoders.values import Head
from hardware.backend import Prepared
from hardware.errors import CompilationError
from hardware.torch_model import gauge, load, stopwatch
from hardware.values import DeviceProfile
from search_space import Architecture


class TorchCompiled:
    """The model as one graph of fixed shape; what it cannot take in whole is refused, not run in pieces.

    The compiler runs in this process alone: its own workers would still be there while calls are timed.
    """

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
        compile_s, run = compiled(loaded.run, loaded.inputs[0])

        def call() -> object:
            with torch.inference_mode():
                return run(next(inputs))

        return Prepared(
            call=call,
            stopwatch=stopwatch(profile.device),
            gauge=gauge(profile.device),
            caller_computes=not profile.device.is_accelerator,
            load_s=loaded.load_s,
            copy_s=loaded.copy_s,
            compile_s=compile_s,
        )


def compiled(run: Callable[[Tensor], tuple[Tensor, ...]], first: Tensor) -> tuple[float, Callable[[Tensor], object]]:
    """Seconds to compile, and what was compiled.

    What is compiled is kept in the temporary folder, which the processes of one measurement share and no other: the
    first of them tells what compiling costs, the others are quick.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "inductor")
    inductor_config.compile_threads = 1
    start = time.perf_counter()
    called = torch.compile(run, fullgraph=True, dynamic=False)
    try:
        with torch.inference_mode():
            called(first)
        if first.is_cuda:
            torch.cuda.synchronize()
    except torch._dynamo.exc.TorchDynamoException as error:
        raise CompilationError(f"torch.compile does not take the model: {first_line(error)}") from error
    return time.perf_counter() - start, called


BACKEND = TorchCompiled()
