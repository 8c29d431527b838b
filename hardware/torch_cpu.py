"""PyTorch, eager, on the CPU."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import torch

from encoders.build import architecture_of, build, head_of
from encoders.errors import CheckpointError
from encoders.huggingface import load_pretrained
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
from hardware.backend import INPUTS, Prepared, WallClock
from hardware.values import DeviceProfile, Dtype
from search_space import Architecture

DTYPES = {Dtype.FLOAT32: torch.float32, Dtype.BFLOAT16: torch.bfloat16}


class TorchCpu:
    """The dense model in eager mode, as a process serves it that does nothing else."""

    def prepare(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        seed: int,
        checkpoint: Path | None = None,
    ) -> Prepared:
        torch.set_num_threads(profile.threads)
        start = time.perf_counter()
        model = build(architecture, head, seed=seed) if checkpoint is None else _read(checkpoint, architecture, head)
        torch.nn.Module.to(model, DTYPES[profile.dtype])
        inputs = itertools.cycle(_inputs(architecture, profile, seed))

        def call() -> None:
            input_ids_BL, mask_BL = next(inputs)
            with torch.inference_mode():
                _ = model(input_ids=input_ids_BL, attention_mask=mask_BL).logits

        return Prepared(call=call, stopwatch=WallClock(), load_s=time.perf_counter() - start)


def _read(checkpoint: Path, architecture: Architecture, head: Head) -> StillhouseTaskModel:
    model = load_pretrained(str(checkpoint)).model
    held = architecture_of(model.config), head_of(model.config)
    if held != (architecture, head):
        raise CheckpointError(f"{checkpoint} holds {held[0]} with {held[1]}, not {architecture} with {head}")
    return model


def _inputs(architecture: Architecture, profile: DeviceProfile, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids and masks of full length: padding inside a profile's length is work that a caller pays for too."""
    generator = torch.Generator().manual_seed(seed)
    shape_BL = (profile.batch, profile.length)
    mask_BL = torch.ones(shape_BL, dtype=torch.int64)
    return [
        (torch.randint(architecture.vocabulary_size, shape_BL, generator=generator), mask_BL) for _ in range(INPUTS)
    ]


BACKEND = TorchCpu()
