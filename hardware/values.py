"""Device profiles, efforts, verdicts and measurements, as values."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class HardwareError(Exception):
    """Base of this package's errors."""


class Runtime(StrEnum):
    TORCH = "torch"
    """PyTorch, eager."""
    TORCH_COMPILE = "torch_compile"
    CUDA_GRAPHS = "cuda_graphs"
    """PyTorch's eager kernels, captured once and replayed."""
    JAX = "jax"
    ONNX = "onnx"
    """ONNX Runtime on the exported model."""
    ONNX_INT8 = "onnx_int8"
    """The same, its weights quantised to 8 bits and its activations as they come."""


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"
    TPU = "tpu"

    @property
    def is_accelerator(self) -> bool:
        """Whether it computes beside the process that calls it, which waits meanwhile."""
        return self is not Device.CPU


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Boundary(StrEnum):
    """What lies inside the timed region."""

    MODEL = "model"
    """Token ids on the device to logits on the device."""


MOST = {"batch": 100_000, "length": 100_000, "threads": 1024}
"""Above these, a number in a device profile is a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """All that makes two latencies comparable.

    `chip` names the chip that a compiler estimates for, where none is attached ("v4", "v5e"); empty otherwise.

    Raises:
        ValueError: an unknown name, or batch, length or threads below 1 or above `MOST`.
    """

    device: Device = Device.CPU
    runtime: Runtime = Runtime.TORCH
    dtype: Dtype = Dtype.FLOAT32
    batch: int = 1
    length: int = 128
    threads: int = 1
    boundary: Boundary = Boundary.MODEL
    chip: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("device", Device), ("runtime", Runtime), ("dtype", Dtype), ("boundary", Boundary)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        for name, most in MOST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(f"{name} must be an integer in 1 ... {most}, got {value!r}")

    @property
    def key(self) -> str:
        """Canonical key of the profile."""
        # Without a chip, the key is what it was before profiles could name one.
        parts = {name: value for name, value in asdict(self).items() if name != "chip" or value}
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Short text for tables."""
        device = f"{self.device} {self.chip}".rstrip()
        return (
            f"{device} {self.runtime} {self.dtype}, batch {self.batch} x length {self.length}, "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )


class Effort(StrEnum):
    """How much time a measurement may take."""

    QUICK = "quick"
    """One process, one round of at least 0.5 s; its verdict is always `provisional`."""
    SEARCH = "search"
    """Three processes, at least 3 s each, with a reference architecture before and after."""
    REPORT = "report"
    """Five processes of 60 s, with a reference architecture before and after."""


class Verdict(StrEnum):
    STEADY = "steady"
    NOISY = "noisy"
    LAUNCH_BOUND = "launch_bound"
    """Steady, but the device waits for the host most of the time: other kernels would not be slower."""
    THROTTLED = "throttled"
    """The device's clock fell while it was measured."""
    PROVISIONAL = "provisional"
    """Too little effort to tell (`quick`)."""
    ESTIMATED = "estimated"
    """Not timed at all."""


class Source(StrEnum):
    """Where a latency comes from; only `measured` was timed on the device."""

    MEASURED = "measured"
    COMPILER = "compiler"
    PREDICTED = "predicted"


class QuantileName(StrEnum):
    """A quantile that is measured."""

    P50 = "p50"
    P90 = "p90"
    P99 = "p99"

    @property
    def share(self) -> float:
        """Share of the calls that take at most as long."""
        return int(self.value[1:]) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A latency quantile in seconds with its distribution-free 95 % confidence interval, for calls as they follow
    each other.

    A bound is None where there are too few samples to tell it (p99 has no upper bound below 368 of them).

    Raises:
        ValueError: a value or bound that is not finite and above 0, or bounds the wrong way round.
    """

    value_s: float
    low_s: float | None
    high_s: float | None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value_s) and self.value_s > 0):
            raise ValueError(f"a latency must be finite and above 0 s, got {self.value_s!r}")
        for name, bound_s in (("low_s", self.low_s), ("high_s", self.high_s)):
            if bound_s is not None and not (math.isfinite(bound_s) and bound_s > 0):
                raise ValueError(f"{name} of a latency must be finite and above 0 s, got {bound_s!r}")
        if self.low_s is not None and self.high_s is not None and self.low_s > self.high_s:
            raise ValueError(f"low_s of a latency must be at most high_s, got {self.low_s!r} and {self.high_s!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The latency of one architecture on one device profile.

    Each quantile is the median over the processes of their own, its interval the hull of their intervals: each of those
    covers what its process would show in the long run, and the hull also shows how far the processes disagree.
    `throughput_per_s` counts examples, one caller calling again as soon as it is answered. `load_s`, `first_call_s` and
    `copy_s` (one input from the host to an accelerator) are medians over the processes, `compile_s` is the longest,
    because compilers keep what they made: none is ever inside the latency. `peak_memory_bytes` is the largest resident
    set of a measuring process: runtime, weights (twice, where a checkpoint was read) and activations;
    `device_peak_memory_bytes` what the runtime had allocated on the accelerator at most, its own context aside.
    `bound_s` is the least that the chip needs for it, where the chip is known (`hardware.roofline`).
    `event_share` is the accelerator's own time for a call whose work is all queued / p50, `energy_j` the joules that it
    drew per example. What an accelerator or runtime does not tell is None. `verdict`
    and `log_variance` are of the quantiles that were asked about, by default p50: the variance of the value's logarithm
    as an observation, what it would vary by if all were measured again, the largest where several were asked about.
    `hardware_key` hashes the environment: values under different keys are never compared. `samples_s` holds raw samples
    of every process, in order: all of them, or of more than 10,000 so many, chosen at random; `calls` counts them all
    then, and is None where none is left out. The rest of the measurement comes from all; nothing is trimmed. `notes`
    say why the verdict is not `steady`, and what the device does not tell; `reference_s` is the reference architecture's
    latency, in the geometric mean of before and after, and `reference_shift` the logarithm of after / before; `voided`
    counts the rounds and attempts thrown away.

    Raises:
        ValueError: a variance that is not finite and at least 0, or fewer calls than samples.
    """

    profile: DeviceProfile
    effort: Effort
    source: Source
    verdict: Verdict
    p50: Quantile
    p90: Quantile
    p99: Quantile
    throughput_per_s: float
    load_s: float
    first_call_s: float
    compile_s: float
    peak_memory_bytes: int
    log_variance: float
    hardware_key: str
    environment: dict[str, str]
    samples_s: list[list[float]] = field(repr=False)
    measured_at: str
    """ISO 8601, UTC."""
    notes: tuple[str, ...] = ()
    reference_s: float | None = None
    reference_shift: float | None = None
    voided: int = 0
    calls: int | None = None
    copy_s: float | None = None
    event_share: float | None = None
    device_peak_memory_bytes: int | None = None
    bound_s: float | None = None
    energy_j: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.log_variance) and self.log_variance >= 0):
            raise ValueError(f"log_variance must be finite and at least 0, got {self.log_variance!r}")
        if self.calls is not None and self.calls < self.kept:
            raise ValueError(f"calls must be at least the {self.kept} samples that are kept, got {self.calls!r}")

    @property
    def kept(self) -> int:
        """How many samples it carries."""
        return sum(map(len, self.samples_s))
