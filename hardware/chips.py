"""Known chips: peak arithmetic, memory bandwidth and sizes, as their makers publish them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

MIB, GIB = 2**20, 2**30
TERA, GIGA = 1e12, 1e9


class Unit(StrEnum):
    """What a name means: JAX's device, and so what one model runs on."""

    CORE = "one core"
    CHIP = "one chip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What a bound on its latencies is made of; None where no source was at hand.

    Args:
        peak_flops: by dtype of the arrays, dense, in operations/s. Of `float32` that of the fastest products of float32
            arrays that a runtime may choose: in TF32, or in one pass of bfloat16.
        bandwidth: of the memory, in bytes/s.
        on_chip_bytes: in which weights may stay from one call to the next: the last level of cache, or all memory on a
            TPU's die.
        clock_hz: what a compiler's cycles are counted in.
        reported: how drivers and JAX name it; of TPUs also their PCI device id, which the stamp of a machine has (JAX,
            `_src/hardware_utils.py`).
    """

    name: str
    unit: Unit = Unit.CHIP
    peak_flops: Mapping[str, float] = field(hash=False)
    bandwidth: float
    memory_bytes: int
    on_chip_bytes: int
    clock_hz: float | None = None
    reported: tuple[str, ...] = ()
    source: str


def chip(name: str) -> Chip | None:
    """The chip of this name, or of this name as a driver or JAX reports it; None where it is not known."""
    wanted = name.strip().casefold()
    named = (each for each in CHIPS.values() if wanted in {name.casefold() for name in (each.name, *each.reported)})
    return next(named, None)


def _tpu(
    name: str,
    bfloat16: float,
    bandwidth: float,
    memory_bytes: int,
    on_chip_bytes: int,
    clock_hz: float,
    source: str,
    *,
    unit: Unit = Unit.CHIP,
    int8: float | None = None,
    reported: tuple[str, ...] = (),
) -> Chip:
    # JAX multiplies float32 arrays in one pass of bfloat16 unless told otherwise.
    peaks = {"float32": bfloat16, "bfloat16": bfloat16, **({} if int8 is None else {"int8": int8})}
    return Chip(
        name=name,
        unit=unit,
        peak_flops=MappingProxyType({dtype: peak * TERA for dtype, peak in peaks.items()}),
        bandwidth=bandwidth * GIGA,
        memory_bytes=memory_bytes,
        on_chip_bytes=on_chip_bytes,
        clock_hz=clock_hz,
        reported=reported,
        source=source,
    )


def _nvidia(
    name: str,
    float32: float,
    bfloat16: float | None,
    bandwidth: float,
    memory: int,
    cache: int,
    reported: tuple[str, ...],
    source: str,
) -> Chip:
    peaks = {"float32": float32, **({} if bfloat16 is None else {"bfloat16": bfloat16})}
    return Chip(
        name=name,
        peak_flops=MappingProxyType({dtype: peak * TERA for dtype, peak in peaks.items()}),
        bandwidth=bandwidth * GIGA,
        memory_bytes=memory * 10**9,
        on_chip_bytes=cache * MIB,
        reported=reported,
        source=source,
    )


_ON_DIE = "memory on the die: JAX's table of TPUs (jax.experimental.pallas.tpu)"
_V4 = f"Cloud TPU documentation, TPU v4; clock and HBM: arXiv:2304.01433, table 4; {_ON_DIE}"
_CLOCK = "clock: the documented peak over the operations of a cycle"

_ALL = (
    _tpu(
        "v4",
        137.5,
        614,
        16 * GIB,
        (16 + 64) * MIB,
        1.05e9,
        f"half of v4-chip: {_V4}",
        unit=Unit.CORE,
    ),
    _tpu("v4-chip", 275, 1228, 32 * GIB, (32 + 128) * MIB, 1.05e9, _V4, reported=("TPU v4", "0x005e")),
    _tpu(
        "v5e",
        197,
        819,
        16 * GIB,
        128 * MIB,
        1.5e9,
        f"Cloud TPU documentation, TPU v5e; {_CLOCK} (4 arrays of 128 x 128); {_ON_DIE}",
        int8=393,
        reported=("TPU v5 lite", "TPU v5e", "0x0063"),
    ),
    _tpu(
        "v5p",
        459,
        2765,
        95 * 10**9,
        2 * 64 * MIB,
        1.75e9,
        f"Cloud TPU documentation, TPU v5p; {_CLOCK} (2 cores of 4 arrays of 128 x 128); {_ON_DIE}",
        int8=918,
        reported=("TPU v5", "TPU v5p", "0x0062"),
    ),
    _tpu(
        "v6e",
        918,
        1638,
        32 * 10**9,
        128 * MIB,
        1.75e9,
        f"Cloud TPU documentation, TPU v6e; {_CLOCK} (4 times those of v5e; see docs/guides/tpu.md); {_ON_DIE}",
        int8=1836,
        reported=("TPU v6 lite", "TPU v6e", "0x006f"),
    ),
    # No products of bfloat16 on the tensor cores of T4 and V100: no peak, so no bound by arithmetic.
    _nvidia("T4", 8.1, None, 320, 16, 4, ("Tesla T4", "NVIDIA T4"), "NVIDIA T4 datasheet; cache: Turing whitepaper"),
    _nvidia(
        "V100-SXM2",
        15.7,
        None,
        900,
        16,
        6,
        ("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"),
        "NVIDIA V100 datasheet (the larger one has 32 GB); cache: Volta whitepaper",
    ),
    _nvidia(
        "A100-SXM4-40GB",
        156,
        312,
        1555,
        40,
        40,
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        "NVIDIA A100 datasheet; cache: Ampere whitepaper",
    ),
    _nvidia(
        "A100-SXM4-80GB",
        156,
        312,
        2039,
        80,
        40,
        ("NVIDIA A100-SXM4-80GB",),
        "NVIDIA A100 datasheet; cache: Ampere whitepaper",
    ),
    _nvidia(
        "A100-PCIE-40GB",
        156,
        312,
        1555,
        40,
        40,
        ("NVIDIA A100-PCIE-40GB", "A100-PCIE-40GB"),
        "NVIDIA A100 datasheet; cache: Ampere whitepaper",
    ),
    _nvidia(
        "A100-PCIE-80GB",
        156,
        312,
        1935,
        80,
        40,
        ("NVIDIA A100 80GB PCIe",),
        "NVIDIA A100 datasheet; cache: Ampere whitepaper",
    ),
    _nvidia("A10G", 35, 70, 600, 24, 6, ("NVIDIA A10G",), "NVIDIA A10G datasheet for Amazon EC2 G5"),
    _nvidia("L4", 60.5, 121, 300, 24, 48, ("NVIDIA L4",), "NVIDIA L4 datasheet, without sparsity"),
    _nvidia(
        "RTX-4090",
        82.6,
        165.2,
        1008,
        24,
        72,
        ("NVIDIA GeForce RTX 4090",),
        "NVIDIA Ada whitepaper, bfloat16 with float32 sums",
    ),
    _nvidia(
        "H100-SXM",
        494.7,
        989.4,
        3350,
        80,
        50,
        ("NVIDIA H100 80GB HBM3",),
        "NVIDIA H100 datasheet, without sparsity; cache: Hopper whitepaper",
    ),
    _nvidia(
        "H100-PCIe",
        378,
        756,
        2000,
        80,
        50,
        ("NVIDIA H100 PCIe",),
        "NVIDIA H100 datasheet, without sparsity; cache: Hopper whitepaper",
    ),
    _nvidia(
        "H200",
        494.7,
        989.4,
        4800,
        141,
        50,
        ("NVIDIA H200",),
        "NVIDIA H200 datasheet, without sparsity; cache: as the H100's",
    ),
)
CHIPS: Mapping[str, Chip] = MappingProxyType({each.name: each for each in _ALL})
"""By name. A device that JAX calls "TPU v4" is one core or a whole chip, as it was started; it is
taken for the chip, of which a bound is the lower one.
"""
