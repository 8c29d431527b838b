"""Whether a latency is the same when it is measured again, and whether a disturbed one is known to be.

Eight architectures are measured in five separate calls each, in shuffled order, by PyTorch and by JAX on one thread of
the CPU. Shown are the spread (max - min) / median of the five values, as measured and at one pace of the machine
(hardware/pace.py: so do calibrations and strategies compare them), the rank correlation (Kendall) between any two
rounds and the share of `steady` verdicts; beside them, of the same PyTorch models in the same shuffled order, what
`torch.utils.benchmark` and a loop of ten calls without warm-up say: their spread, and their bias against the median of
ours. Then everything is measured once more under a synthetic load: on the core that is measured on, in bursts there,
and on another core (with memory traffic). A value that lies 10 % or more beside the quiet one must not be called
`steady`.

    python benchmarks/latency_repeatability.py [--parts quiet] [--quick]

The machine must be quiet but for the load that this script makes. A run that was stopped goes on where it was, in
--folder. --quick tries the script; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

from cells.ledger import Ledger, Row
from cells.numbers import table
from scipy.stats import kendalltau

from encoders.values import Head
from hardware.cores import available_cores, pick
from hardware.environment import environment
from hardware.pace import paces, reading
from hardware.procedure import measure
from hardware.values import DeviceProfile, Effort, Runtime, Verdict
from search_space import Architecture

BESIDE = 0.10
SPREAD_GOAL, KENDALL_GOAL, STEADY_GOAL = 0.05, 0.95, 0.80
PEER_S = 3.0
"""What `torch.utils.benchmark` is given, as much as each process of ours takes."""

HEAD = Head(classes=2)
SHAPES = ((1, 128), (2, 128), (4, 128), (2, 256), (4, 256), (4, 320), (6, 384), (4, 512))
PEERS = ("torch.utils.benchmark", "mean of 10")
RUNTIMES = (Runtime.TORCH, Runtime.JAX)


@dataclass(frozen=True)
class Plan:
    architectures: dict[str, Architecture]
    rounds: int
    effort: Effort
    loads: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/latency_repeatability"))
    parser.add_argument("--parts", default="quiet,loads", help="of quiet, loads; the second compares with the first")
    parser.add_argument("--quick", action="store_true", help="two architectures, two rounds, provisional values")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    everything = {f"{layers} x {width}": shape(layers, width) for layers, width in SHAPES}
    if options.peer:
        print(json.dumps(peer(options.peer, everything[options.name])))
        return
    plan = Plan(everything, options.rounds, Effort.SEARCH, tuple(LOADS))
    if options.quick:
        plan = Plan(dict(list(everything.items())[:2]), 2, Effort.QUICK, ("same core",))
    ledger = Ledger(options.folder / ("quick.jsonl" if options.quick else "results.jsonl"))
    measure_quiet(plan, ledger)
    print_quiet(plan, ledger)
    print_peers(plan, ledger)
    if "loads" in options.parts:
        measure_loaded(plan, ledger)
        print_loaded(plan, ledger)


def shape(layers: int, width: int) -> Architecture:
    return Architecture(
        vocabulary_size=30_522,
        layers=layers,
        hidden_size=width,
        heads=width // 64,
        head_size=64,
        ffn_size=4 * width,
        max_positions=128,
    )


def measure_quiet(plan: Plan, ledger: Ledger) -> None:
    for round_ in range(plan.rounds):
        cells = [*itertools.product(RUNTIMES, plan.architectures), *itertools.product(PEERS, plan.architectures)]
        random.Random(round_).shuffle(cells)
        for tool, name in cells:
            row = ledger.once(key(round_, tool, name), lambda tool=tool, name=name: by(plan, tool, name))
            print(f"... round {round_ + 1}: {tool}, {name}: {row['value_s'] * 1e3:.3f} ms", flush=True)


def measure_loaded(plan: Plan, ledger: Ledger) -> None:
    for load in plan.loads:
        cells = list(itertools.product(RUNTIMES, plan.architectures))
        random.Random(load).shuffle(cells)
        for runtime, name in cells:

            def disturbed(load: str = load, runtime: Runtime = runtime, name: str = name) -> Row:
                with LOADS[load]():
                    return by(plan, runtime, name)

            row = ledger.once(key(load, runtime, name), disturbed)
            print(f"... load {load}: {runtime}, {name}: {row['value_s'] * 1e3:.3f} ms, {row['verdict']}", flush=True)


def by(plan: Plan, tool: Runtime | str, name: str) -> Row:
    if tool in PEERS:
        command = [sys.executable, __file__, "--peer", str(tool), "--name", name]
        told: Row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return told
    start = time.monotonic()
    found = measure(
        plan.architectures[name], HEAD, DeviceProfile(runtime=Runtime(tool), length=128), plan.effort, seed=0
    )
    return {
        "value_s": found.p50.value_s,
        "verdict": found.verdict,
        "notes": list(found.notes),
        "voided": found.voided,
        "reading": reading(found),
        "compile_s": found.compile_s,
        "seconds": time.monotonic() - start,
        "environment": found.environment,
    }


def peer(tool: str, architecture: Architecture) -> Row:
    """What another tool says, in a process of its own."""
    import torch
    from torch.utils.benchmark import Timer

    from encoders.build import build
    from hardware.inputs import token_ids

    torch.set_num_threads(1)
    model = build(architecture, HEAD)
    ids = torch.from_numpy(token_ids(architecture, DeviceProfile(length=128), 0)[0])
    mask = torch.ones_like(ids)

    def call() -> None:
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=mask)

    if tool == "torch.utils.benchmark":
        timed = Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=PEER_S)
        return {"value_s": timed.median}
    start = time.perf_counter()
    for _ in range(10):
        call()
    return {"value_s": (time.perf_counter() - start) / 10}


def key(round_: int | str, tool: str, name: str) -> str:
    return f"{round_}, {tool}, {name}"


@contextmanager
def spinning(core: int, work: Callable[[], None]) -> Iterator[None]:
    """A process that does `work` for ever on this core, and has begun to."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_for_ever, args=(core, work, begun), daemon=True)
    process.start()
    try:
        if not begun.wait(60):
            raise RuntimeError("the load did not begin within 60 s")
        yield
    finally:
        process.kill()
        process.join()


def _for_ever(core: int, work: Callable[[], None], begun: Event) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    begun.set()
    while True:
        work()


def arithmetic() -> None:
    for _ in range(100_000):
        pass


def bursts() -> None:
    """Half a second of work, a second of rest."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    time.sleep(1.0)


def memory() -> None:
    """Reads and writes more than any cache holds."""
    block = bytearray(256 << 20)
    for _ in range(20):
        block[:] = bytes(len(block))


def _own_core() -> int:
    return pick(1, available_cores())[0]


def _another_core() -> int:
    return next((core for core in available_cores() if core != _own_core()), _own_core())


LOADS = {
    "same core": lambda: spinning(_own_core(), arithmetic),
    "same core, bursts": lambda: spinning(_own_core(), bursts),
    "another core, memory": lambda: spinning(_another_core(), memory),
}


def print_quiet(plan: Plan, ledger: Ledger) -> None:
    print(f"\n{datetime.now(UTC):%Y-%m-%d}; {machine_words(plan, ledger)}; effort {plan.effort}\n")
    print("## Quiet\n")
    rows = []
    paced = at_one_pace(plan, ledger)
    for runtime, name in itertools.product(RUNTIMES, plan.architectures):
        found = [ledger[key(round_, runtime, name)] for round_ in range(plan.rounds)]
        values_s = [row["value_s"] for row in found]
        steady = sum(row["verdict"] == Verdict.STEADY for row in found)
        slowest_s = max(row["seconds"] for row in found)
        spreads = [percent(spread(each)) for each in (values_s, paced[runtime, name])]
        told = [ms(statistics.median(values_s)), *spreads, f"{steady} of {plan.rounds}"]
        rows.append([runtime, name, *told, f"{slowest_s:.1f}"])
    print(table(["runtime", "shape", "median ms", "spread", "at one pace", "steady", "longest call s"], rows))
    for runtime in RUNTIMES:
        by_name = {name: values(plan, ledger, runtime, name) for name in plan.architectures}
        median_spread = statistics.median(map(spread, by_name.values()))
        one_pace = statistics.median(spread(paced[runtime, name]) for name in plan.architectures)
        taus = kendalls(list(by_name.values()))
        paced_taus = kendalls([paced[runtime, name] for name in plan.architectures])
        verdicts = [ledger[key(round_, runtime, name)]["verdict"] for round_ in range(plan.rounds) for name in by_name]
        steady = sum(verdict == Verdict.STEADY for verdict in verdicts) / len(verdicts)
        print(
            f"\n{runtime}: median spread {percent(median_spread)}, at one pace {percent(one_pace)} (goal"
            f" {percent(SPREAD_GOAL)} at most);"
            f" Kendall between rounds {min(taus):.3f} to {max(taus):.3f}, at one pace {min(paced_taus):.3f} to"
            f" {max(paced_taus):.3f} (goal {KENDALL_GOAL} at least);"
            f" steady {percent(steady)} (goal {percent(STEADY_GOAL)} at least)"
        )


def print_peers(plan: Plan, ledger: Ledger) -> None:
    print("\n## Beside other tools (PyTorch)\n")
    rows = []
    for name in plan.architectures:
        ours = values(plan, ledger, Runtime.TORCH, name)
        cells = [name, ms(statistics.median(ours)), percent(spread(ours))]
        for tool in PEERS:
            theirs = values(plan, ledger, tool, name)
            bias = statistics.median(theirs) / statistics.median(ours) - 1
            cells += [ms(statistics.median(theirs)), f"{bias:+.1%}", percent(spread(theirs))]
        rows.append(cells)
    heads = [f"{tool}: {what}" for tool in PEERS for what in ("ms", "bias", "spread")]
    print(table(["shape", "ours ms", "spread", *heads], rows))
    for tool in (Runtime.TORCH, *PEERS):
        by_name = [values(plan, ledger, tool, name) for name in plan.architectures]
        taus = kendalls(by_name)
        said = "ours" if tool is Runtime.TORCH else tool
        print(f"\n{said}: median spread {percent(statistics.median(map(spread, by_name)))}, Kendall {min(taus):.3f}")


def print_loaded(plan: Plan, ledger: Ledger) -> None:
    print(f"\n## Under a load (values {percent(BESIDE)} or more beside the quiet median count as disturbed)\n")
    rows = []
    for load, runtime in itertools.product(plan.loads, RUNTIMES):
        found = {name: ledger[key(load, runtime, name)] for name in plan.architectures}
        beside = [row for name, row in found.items() if is_beside(row["value_s"], values(plan, ledger, runtime, name))]
        passed = sum(row["verdict"] == Verdict.STEADY for row in beside)
        steady = sum(row["verdict"] == Verdict.STEADY for row in found.values())
        cells = [load, runtime, len(found), len(beside), len(beside) - passed, passed, steady]
        rows.append([str(cell) for cell in cells])
    heads = ["load", "runtime", "values", "disturbed", "of these flagged", "of these steady (goal 0)", "steady in all"]
    print(table(heads, rows))


def at_one_pace(plan: Plan, ledger: Ledger) -> dict[tuple[Runtime, str], list[float]]:
    """The quiet values of each runtime's shapes, as a study that measured all of them compares them."""
    found: dict[tuple[Runtime, str], list[float]] = {}
    for runtime in RUNTIMES:
        cells = list(itertools.product(plan.architectures, range(plan.rounds)))
        rows = [ledger[key(round_, runtime, name)] for name, round_ in cells]
        slower = paces([(row["reading"][0], row["reading"][1]) if row["reading"] else None for row in rows])
        for (name, _), row, pace in zip(cells, rows, slower, strict=True):
            found.setdefault((runtime, name), []).append(row["value_s"] * math.exp(-pace))
    return found


def values(plan: Plan, ledger: Ledger, tool: str, name: str) -> list[float]:
    return [ledger[key(round_, tool, name)]["value_s"] for round_ in range(plan.rounds)]


def is_beside(value_s: float, quiet_s: Sequence[float]) -> bool:
    return abs(value_s / statistics.median(quiet_s) - 1) >= BESIDE


def kendalls(by_name: list[list[float]]) -> list[float]:
    """Between any two rounds, over the architectures."""
    rounds = list(zip(*by_name, strict=True))
    return [float(kendalltau(one, other).statistic) for one, other in itertools.combinations(rounds, 2)]


def spread(values_s: Sequence[float]) -> float:
    return (max(values_s) - min(values_s)) / statistics.median(values_s)


def machine_words(plan: Plan, ledger: Ledger) -> str:
    stamp = environment()
    versions = [
        f"{name} {ledger[key(0, runtime, next(iter(plan.architectures)))]['environment'][name]}"
        for runtime, name in ((Runtime.TORCH, "torch"), (Runtime.JAX, "jax"))
    ]
    return ", ".join([stamp["cpu"], f"{stamp['available_cores']} cores", stamp["python"], *versions])


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def percent(share: float) -> str:
    return f"{share:.1%}"


if __name__ == "__main__":
    main()
