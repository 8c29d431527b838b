"""PyTorch, eager, on the CPU and on CUDA."""

from __future__ import annotations

from pathlib import Path

import torch

from encoders.values import Head
from hardware.backend import Prepared
from hardware.torch_model import gauge, load, stopwatch
from hardware.values import DeviceProfile
from search_space import Architecture


class TorchEager:
    """The dense model in eager mode, as a process serves it that does nothing else."""

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

        def call() -> object:
            with torch.inference_mode():
                return loaded.run(next(inputs))

        return Prepared(
            call=call,
            stopwatch=stopwatch(profile.device),
            gauge=gauge(profile.device),
            caller_computes=not profile.device.is_accelerator,
            load_s=loaded.load_s,
            copy_s=loaded.copy_s,
        )


BACKEND = TorchEager()
