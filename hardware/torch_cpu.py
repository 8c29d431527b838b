"""PyTorch, eager, on the CPU."""

from __future__ import annotations

import itertools
import time

import torch

from encoders.build import build
from encoders.values import Head
from hardware.backend import INPUTS, Prepared, WallClock
from hardware.values import DeviceProfile, Dtype
from search_space import Architecture

DTYPES = {Dtype.FLOAT32: torch.float32, Dtype.BFLOAT16: torch.bfloat16}


class TorchCpu:
    """The dense model in eager mode, as a process serves it that does nothing else."""

    def prepare(self, architecture: Architecture, head: Head, profile: DeviceProfile, seed: int) -> Prepared:
        torch.set_num_threads(profile.threads)
        start = time.perf_counter()
        model = build(architecture, head, seed=seed)
        torch.nn.Module.to(model, DTYPES[profile.dtype])
        inputs = itertools.cycle(_inputs(architecture, profile, seed))

        def call() -> None:
            input_ids_BL, mask_BL = next(inputs)
            with torch.inference_mode():
                _ = model(input_ids=input_ids_BL, attention_mask=mask_BL).logits

        return Prepared(call=call, stopwatch=WallClock(), load_s=time.perf_counter() - start)


def _inputs(architecture: Architecture, profile: DeviceProfile, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids and masks of full length: padding inside a profile's length is work that a caller pays for too."""
    generator = torch.Generator().manual_seed(seed)
    shape_BL = (profile.batch, profile.length)
    mask_BL = torch.ones(shape_BL, dtype=torch.int64)
    return [
        (torch.randint(architecture.vocabulary_size, shape_BL, generator=generator), mask_BL) for _ in range(INPUTS)
    ]


BACKEND = TorchCpu()
