"""What the TPU compiler expects of known encoders on chips that are not attached, beside the roofline.

Shows, for BERT-base, MobileBERT, DistilBERT, TinyBERT4 and three shapes of AutoDistill's space on a core of TPU v4 and
on TPU v5e: the compiler's cycles, the latency that they are at the chip's clock, the lower bounds by memory and by
arithmetic, the share of instructions (and of the bytes that they write) with an estimate; with `--seconds` also what
compiling took. Then one of the shapes at several depths: deeper must never be faster. Last, of every chip, the
operations that the compiler sees in a cycle of a product of two 8192 x 8192 matrices of bfloat16, beside peak / clock:
with more of them a clock would be wrong. Either ends with exit code 1.

Cycles are the compiler's and the same on every machine; seconds of compiling are timings, for a quiet one. Whatever has
been compiled is kept in the folder, so an interrupted run goes on; seconds are those of the first time.

    python benchmarks/tpu_compiler.py [--seconds] [--quick] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from encoders.values import Head
from hardware.chips import CHIPS
from hardware.lock import measuring
from hardware.roofline import lower_bound
from hardware.tpu.estimator import PACKAGES, compilation, priced
from hardware.tpu.schedule import schedule
from hardware.tpu.targets import TARGETS, not_estimable
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from search_space import KNOWN, Activation, Architecture, Norm

HEAD = Head(classes=2)
PROFILE = DeviceProfile(device=Device.TPU, runtime=Runtime.JAX, dtype=Dtype.BFLOAT16, length=128, chip="v4")


def autodistill(hidden_size: int, bottleneck_size: int, heads: int, ffn_size: int, ffn_stacks: int) -> Architecture:
    """A point of the published space, its dimensions in the published order."""
    return Architecture(
        vocabulary_size=30_522,
        layers=24,
        hidden_size=hidden_size,
        heads=heads,
        head_size=bottleneck_size // heads,
        ffn_size=ffn_size,
        ffn_stacks=ffn_stacks,
        bottleneck_size=bottleneck_size,
        embedding_size=128,
        trigram=True,
        norm=Norm.NO_NORM,
        activation=Activation.RELU,
    )


ARCHITECTURES = {
    "BERT-base": KNOWN["bert-base"],
    "DistilBERT": KNOWN["distilbert"],
    "TinyBERT4": KNOWN["tinybert-4"],
    "MobileBERT": KNOWN["mobilebert"],
    "(512, 128, 4, 640, 4)": autodistill(512, 128, 4, 640, 4),
    "(512, 128, 4, 640, 2)": autodistill(512, 128, 4, 640, 2),
    "(512, 160, 4, 512, 2)": autodistill(512, 160, 4, 512, 2),
}

DEPTHS = (6, 12, 18, 24)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", action="store_true", help="show what compiling took")
    parser.add_argument("--quick", action="store_true", help="TinyBERT4 on one chip alone, to try this script")
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/tpu_compiler"), help="keeps all")
    options = parser.parse_args()
    reason = not_estimable(PROFILE)
    if reason is not None:
        print(reason, file=sys.stderr)
        return 0
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES) + "; bfloat16, length 128\n")
    print("| chip | batch | architecture | cycles | ms | least ms: memory | arithmetic | estimated |", end="")
    print(" compile s |" if options.seconds else "")
    print("| --- " * (9 if options.seconds else 8) + "|")
    for chip in ("v4",) if options.quick else ("v4", "v5e"):
        for batch in (1,) if options.quick else (1, 32):
            for name in ("TinyBERT4",) if options.quick else ARCHITECTURES:
                print(row(name, ARCHITECTURES[name], replace(PROFILE, chip=chip, batch=batch), options), flush=True)
    return 0 if options.quick else max(depths(options), clocks())


def row(name: str, architecture: Architecture, profile: DeviceProfile, options: argparse.Namespace) -> str:
    found = compilation(architecture, HEAD, profile, folder=options.folder)
    bound = lower_bound(architecture, HEAD, profile, CHIPS[profile.chip])
    latency_s, _ = priced(found.schedule, CHIPS[profile.chip], bound)
    sums = found.schedule
    cells = [
        profile.chip,
        f"{profile.batch}",
        name,
        f"{sums.cycles:,}",
        f"{latency_s * 1e3:.3f}",
        f"{bound.memory_s * 1e3:.3f}",
        f"{(bound.arithmetic_s or 0) * 1e3:.3f}",
        f"{sums.estimated} of {sums.estimated + sums.unestimated} ({sums.byte_coverage:.1%} of bytes)",
        *([f"{found.compile_s:.1f}"] if options.seconds else []),
    ]
    return f"| {' | '.join(cells)} |"


def depths(options: argparse.Namespace) -> int:
    """One shape at several depths; 1 where a deeper one is faster."""
    shape = ARCHITECTURES["(512, 128, 4, 640, 2)"]
    print(f"\n| chip | batch | {' | '.join(f'{layers} blocks, ms' for layers in DEPTHS)} |")
    print("| --- " * (2 + len(DEPTHS)) + "|")
    faster = 0
    for chip in ("v4", "v5e"):
        latencies_s = []
        for layers in DEPTHS:
            architecture, profile = replace(shape, layers=layers), replace(PROFILE, chip=chip)
            found = compilation(architecture, HEAD, profile, folder=options.folder)
            bound = lower_bound(architecture, HEAD, profile, CHIPS[chip])
            latencies_s.append(priced(found.schedule, CHIPS[chip], bound)[0])
        print(f"| {chip} | 1 | {' | '.join(f'{latency_s * 1e3:.3f}' for latency_s in latencies_s)} |", flush=True)
        faster += sum(deep < shallow for shallow, deep in pairwise(latencies_s))
    print(f"\ndeeper and faster: {faster} of {2 * (len(DEPTHS) - 1)}")
    return min(faster, 1)


PRODUCT = """
import os, sys
os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}
import jax
from jax.experimental.topologies import get_topology_desc
from jax.sharding import SingleDeviceSharding
device = get_topology_desc(platform="tpu", topology_name=sys.argv[1]).devices[0]
matrix = jax.ShapeDtypeStruct((8192, 8192), "bfloat16", sharding=SingleDeviceSharding(device))
print(jax.jit(lambda a, b: a @ b).lower(matrix, matrix).compile().as_text())
"""


def clocks() -> int:
    """Operations per cycle of a large product; 1 where there are more than peak / clock."""
    print("\n| chip | cycles | operations per cycle | peak / clock | share |")
    print("| --- " * 5 + "|")
    above = False
    for name, target in TARGETS.items():
        run = [sys.executable, "-c", PRODUCT, target.topology]
        with measuring(Device.TPU):
            text = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300).stdout
        cycles = schedule(text).cycles
        found = 2 * 8192**3 / cycles
        most = target.chip.peak_flops["bfloat16"] / (target.chip.clock_hz or 1)
        above |= found > most
        print(f"| {name} | {cycles:,} | {found:,.0f} | {most:,.0f} | {found / most:.0%} |", flush=True)
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
