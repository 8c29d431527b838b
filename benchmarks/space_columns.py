"""How fast a search space is looked through and sampled, beside a plain Python loop over the same points.

Prints medians and spreads of repeated runs, and the ratio to the loop in the same run. Ours includes making the space:
parsing, and checking every combination. The loop over the large space visits an even share of its combinations, and
its time is scaled up by their number; whatever it visits is compared with the space.

    python benchmarks/space_columns.py
"""

from __future__ import annotations

import itertools
import platform
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, median_low

import numpy as np

# Run by its path, this file would be found where the package of its name is meant.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from search_space import (  # noqa: E402
    PRESETS,
    Architecture,
    Category,
    Choice,
    IntegerRange,
    SearchSpace,
    cost,
    preview,
)
from search_space.space import MOST_POINTS  # noqa: E402

SAMPLE = 100_000
REPEATS = 7
SHARE = 101
"""The loop visits every so many of the large space's combinations; prime, so that it sees all values."""

DIMENSIONS = {
    "layers": IntegerRange(low=1, high=24),
    "hidden_size": IntegerRange(low=128, high=640, step=32),
    "heads": Choice(values=(1, 2, 4, 8)),
    "ffn_size": IntegerRange(low=256, high=1024, step=64),
    "ffn_stacks": IntegerRange(low=1, high=6),
    "bottleneck_size": IntegerRange(low=64, high=192, step=32, when="hidden_size >= 160"),
    "embedding_size": Choice(values=(128,)),
    "trigram": Category(values=(True,)),
    "norm": Category(values=("layer_norm", "no_norm")),
}
CONSTRAINTS = ("layers >= 2", "parameters <= 60e6 and flops <= 12e9")

LARGEST = {
    "layers": IntegerRange(low=1, high=24),
    "hidden_size": IntegerRange(low=64, high=1024, step=8),
    "heads": IntegerRange(low=1, high=16),
    "head_size": Choice(values=(64,)),
    "ffn_size": IntegerRange(low=64, high=4096, step=8),
}
"""Every combination is valid: what costs most."""


def large() -> SearchSpace:
    return SearchSpace(dimensions=DIMENSIONS, constraints=CONSTRAINTS)


def main() -> None:
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {REPEATS} runs each\n")
    # What is warm for later calls, as in a service.
    space, deep = large(), PRESETS["autodistill-deep"]()
    preview(space)
    loops = [looped(space, first) for first in range(3)]
    loop_s = median(loops)
    print(f"the large space: {space.grid_points:,} combinations, {space.size:,} valid points")
    visited = space.grid_points // SHARE
    spread = f"{loop_s:.0f} s ({min(loops):.0f} to {max(loops):.0f})"
    print(f"the loop visited three times {visited:,} of them; for all it would take {spread}\n")
    print(f"{'':58} {'median':>9} {'from':>9} {'to':>9} {'ratio':>8}")
    line("preview of the large space", lambda: preview(large()), loop_s)
    line("every point of it with costs, as columns", lambda: featurised(space), loop_s)
    print(f"peak of memory while previewing it: {peak_bytes(lambda: preview(large())) / 2**20:.0f} MiB")
    largest = SearchSpace(dimensions=LARGEST)
    print(f"a space near the limit of {MOST_POINTS:,}: {largest.size:,} valid points")
    line("preview of it, made before", lambda: preview(largest), None, 1)
    print(f"peak of memory while making and previewing it: {peak_bytes(preview_largest) / 2**20:.0f} MiB\n")

    generator = np.random.default_rng(0)
    drawn_s = line(f"loop: {SAMPLE:,} points of autodistill-deep, drawn singly", lambda: drawn(deep), None, 3)
    listed_s = line(f"loop: list all {deep.size:,}, then draw {SAMPLE:,}", lambda: listed(deep), None, 3)
    nearest_s = min(drawn_s, listed_s)
    print(f"ratios to the faster of the two, {nearest_s:.3f} s")
    line("rows and columns", lambda: columns_of(PRESETS["autodistill-deep"](), generator), nearest_s)
    line("architectures", lambda: architectures_of(PRESETS["autodistill-deep"](), generator), nearest_s)
    line("architectures of the large space, made before", lambda: architectures_of(space, generator), drawn_s)


def line(name: str, run: Callable[[], object], peer_s: float | None, repeats: int = REPEATS) -> float:
    """Prints one row and returns the median, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    middle = median(seconds)
    ratio = f"{peer_s / middle:7.0f}x" if peer_s else ""
    print(f"{name:58} {middle:7.3f} s {min(seconds):7.3f} s {max(seconds):7.3f} s {ratio}", flush=True)
    return middle


def looped(space: SearchSpace, first: int) -> float:
    """Seconds that a plain loop would take for all combinations, from a share of them."""
    combinations = list(itertools.islice(points(space), first, None, SHARE))
    start = time.perf_counter()
    found = {}
    for point in combinations:
        architecture = plain(point)
        if architecture is not None and architecture.layers >= 2:
            costs = cost(architecture)
            if costs.parameters <= 60e6 and costs.flops <= 12e9:
                found[architecture] = costs.parameters
    median_low(found.values())
    seconds = time.perf_counter() - start
    if any(architecture not in space for architecture in found):
        raise SystemExit("the loop found what is not in the space")
    valid = {architecture for point in combinations if (architecture := plain(point)) and architecture in space}
    if valid != set(found):
        raise SystemExit("the space has what the loop did not find")
    return seconds * space.grid_points / len(combinations)


def points(space: SearchSpace) -> Iterator[dict[str, object]]:
    for values in itertools.product(*(space.dimensions[name].values for name in space.names)):
        yield dict(zip(space.names, values, strict=True))


def plain(point: dict[str, object]) -> Architecture | None:
    """As somebody would write it for this space."""
    if point["hidden_size"] < 160:
        point = point | {"bottleneck_size": 0}
    block = point["bottleneck_size"] or point["hidden_size"]
    if block % point["heads"]:
        return None
    return Architecture(vocabulary_size=30_522, head_size=block // point["heads"], **point)


def featurised(space: SearchSpace) -> float:
    """The largest of a feature of every point: what a strategy computes before it asks its model."""
    parts = (np.log(points.cost.parameters) + np.log(points.cost.flops) for points in space.chunks())
    return float(max(part.max() for part in parts))


def drawn(space: SearchSpace) -> list[Architecture]:
    generator = random.Random(0)
    values = {name: space.dimensions[name].values for name in space.names}
    found: list[Architecture] = []
    while len(found) < SAMPLE:
        architecture = plain({name: generator.choice(choices) for name, choices in values.items()})
        if architecture is not None:
            found.append(architecture)
    return found


def listed(space: SearchSpace) -> list[Architecture]:
    everything = [architecture for point in points(space) if (architecture := plain(point)) is not None]
    return random.Random(0).choices(everything, k=SAMPLE)


def columns_of(space: SearchSpace, generator: np.random.Generator) -> list[object]:
    rows = space.take(space.sample_rows(SAMPLE, generator, distinct=False))
    return [rows[name] for name in rows]


def architectures_of(space: SearchSpace, generator: np.random.Generator) -> list[Architecture]:
    return space.sample(SAMPLE, generator, distinct=False)


def preview_largest() -> None:
    preview(SearchSpace(dimensions=LARGEST))


def peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    main()
