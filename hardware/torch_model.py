"""What all of PyTorch's runtimes share: the model and its inputs on the device, the stopwatch, the gauge."""

# mypy: allow-untyped-calls
# (torch.cuda carries few types)

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from encoders.build import architecture_of, build, head_of
from encoders.errors import CheckpointError, first_line
from encoders.huggingface import load_pretrained
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
from hardware.backend import Gauge, Stopwatch, WallClock
from hardware.errors import UnsupportedProfileError
from hardware.inputs import output_names, token_ids
from hardware.values import Device, DeviceProfile, Dtype
from search_space import Architecture

DTYPES = {Dtype.FLOAT32: torch.float32, Dtype.BFLOAT16: torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model and its inputs on the device. `run` gives the logits of one batch of ids, with a mask of full length."""

    model: StillhouseTaskModel
    inputs: list[Tensor]
    run: Callable[[Tensor], tuple[Tensor, ...]]
    load_s: float
    copy_s: float | None

    def rotating(self) -> Iterator[Tensor]:
        return itertools.cycle(self.inputs)


def load(
    architecture: Architecture, head: Head, profile: DeviceProfile, seed: int, checkpoint: Path | None = None
) -> Loaded:
    """The dense model on the profile's device, in its dtype.

    Raises:
        CheckpointError: the checkpoint is of another architecture or head.
        UnsupportedProfileError: CUDA does not start.
    """
    torch.set_num_threads(profile.threads)
    device = torch.device(profile.device.value)
    start = time.perf_counter()
    if profile.device is Device.CUDA:
        _start_cuda()
    model = read_or_build(architecture, head, seed, checkpoint)
    torch.nn.Module.to(model, device, DTYPES[profile.dtype])
    on_host = [torch.from_numpy(ids_BL) for ids_BL in token_ids(architecture, profile, seed)]
    copies_s, inputs = zip(*(_copied(ids_BL, device) for ids_BL in on_host), strict=True)
    mask_BL = torch.ones_like(inputs[0])
    names = output_names(head)

    def run(input_ids_BL: Tensor) -> tuple[Tensor, ...]:
        output = model(input_ids=input_ids_BL, attention_mask=mask_BL)
        return tuple(getattr(output, name) for name in names)

    return Loaded(
        model=model,
        inputs=list(inputs),
        run=run,
        load_s=time.perf_counter() - start,
        copy_s=statistics.median(copies_s) if profile.device.is_accelerator else None,
    )


def read_or_build(
    architecture: Architecture, head: Head, seed: int, checkpoint: Path | None = None
) -> StillhouseTaskModel:
    """The model in the folder `checkpoint`, else one with random weights; on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the checkpoint is of another architecture or head.
    """
    if checkpoint is None:
        return build(architecture, head, seed=seed)
    model = load_pretrained(str(checkpoint)).model
    held = architecture_of(model.config), head_of(model.config)
    if held != (architecture, head):
        raise CheckpointError(f"{checkpoint} holds {held[0]} with {held[1]}, not {architecture} with {head}")
    return model


def stopwatch(device: Device) -> Stopwatch:
    return CudaClock() if device is Device.CUDA else WallClock()


def gauge(device: Device) -> Gauge | None:
    return CudaGauge() if device is Device.CUDA else None


class CudaClock:
    """Wall clock around call and synchronisation: what a caller waits for."""

    def seconds(self, call: Callable[[], object]) -> float:
        start = time.perf_counter_ns()
        call()
        torch.cuda.synchronize()
        return (time.perf_counter_ns() - start) / 1e9


class CudaGauge:
    """CUDA events and PyTorch's allocator.

    Events around a call as it comes would count the time in which the GPU waits for the host between two kernels, and
    be near the wall clock for any model. So the GPU is kept busy first, until the host has queued everything: then the
    events enclose kernels alone. A call of more kernels than the driver queues (about a thousand) is told too long.
    """

    def __init__(self) -> None:
        self._cycles_per_s: float | None = None

    def busy_s(self, call: Callable[[], object], call_s: float) -> float:
        if self._cycles_per_s is None:
            self._cycles_per_s = 1e7 / _event_s(lambda: torch.cuda._sleep(10_000_000))
        cycles = int((2 * call_s + 1e-3) * self._cycles_per_s)
        return _event_s(call, after=lambda: torch.cuda._sleep(cycles))

    def peak_memory_bytes(self) -> int:
        return torch.cuda.max_memory_allocated()


def _start_cuda() -> None:
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        raise UnsupportedProfileError(f"PyTorch does not start on CUDA: {first_line(error)}") from error


def _event_s(call: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """Seconds between two events on the GPU's own clock, around what `call` queues behind what `after` queues."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    after()
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def _copied(host: Tensor, device: torch.device) -> tuple[float, Tensor]:
    start = time.perf_counter()
    copied = host.to(device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, copied
