"""How much of the attainable hypervolume each strategy has found after 10, 20, 40 and 60 trials.

Shows our strategies beside Ax's default, Optuna's TPE, GP and NSGA-II samplers and random search, in one run, with
noisy evaluations, on problems whose true front is known:

    cost       an invented accuracy that follows cost, an invented device; 128,802 architectures
    shape      the same device and space, an invented accuracy that ignores cost
    hat-pi     latencies of HAT's table of a Raspberry Pi 4 (--data), an invented accuracy
    hat-gpu    the same for a Titan Xp, whose fastest and slowest are nearer to each other
    docstrings real accuracies of flash distillations of every architecture of a small space (--docstrings FOLDER, made
               there first; about 250 short distillations), an invented device

Hypervolume is that of what the tried architectures are in truth, as a share of the whole true front's, within the
front's nadir pushed out by a tenth. `cold`: nobody knows a latency. `calibrated`: everybody gets latencies predicted
from 64 measured ones, whose measuring is counted in no trial but said. `in flight`: so many trials are in work whenever
one is suggested; their latencies are known by then, as in the service. Optuna may ask again where it repeats itself.
Ax has three seeds, 40 trials and two problems, so that the run ends. A run that was stopped goes on where it was.

    python benchmarks/search_quality.py --data DIR --docstrings FOLDER --processes 2
    python benchmarks/search_quality.py --quick

It also prints whether a strategy has at 20 trials what the best peer has at 40.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from cells.ledger import Ledger
from cells.numbers import mean_and_spread, table
from cells.peers import CALIBRATED_WITH, OPTUNA, SearchCell, searched

CHECKPOINTS = (10, 20, 40, 60)
OURS = ("pareto", "evolution", "sobol", "random")
PEERS = ("random", "ax", *OPTUNA)
"""What the goal is compared with."""
IN_FLIGHT = (4, 8)
AX_PROBLEMS, AX_SEEDS, AX_TRIALS = ("cost", "hat-pi"), 3, 40
EARLY, LATE = 20, 40


def main() -> None:
    options = parsed()
    problems = list(options.problems)
    ledger = Ledger(options.folder / "results.jsonl")
    settings = [(1, False)] if options.quick else [(1, False), (1, True), *((many, False) for many in IN_FLIGHT)]
    cells = [
        cell
        for name, (parallel, calibrated) in product(problems, settings)
        for cell in cells_of(options, name, parallel, calibrated)
    ]
    ledger.complete({cell.key: cell for cell in cells}, searched, processes=options.processes, name="studies")
    for name, (parallel, calibrated) in product(problems, settings):
        show(ledger, cells_of(options, name, parallel, calibrated), name, parallel, calibrated)


def cells_of(options: argparse.Namespace, name: str, parallel: int, calibrated: bool) -> list[SearchCell]:
    place = options.docstrings if name == "docstrings" else options.data
    cells = []
    for peer in options.peers:
        seeds, trials = options.seeds, options.trials
        if peer == "ax":
            if name not in AX_PROBLEMS or parallel > 1 or calibrated:
                continue
            seeds, trials = min(seeds, AX_SEEDS), min(trials, AX_TRIALS)
        cells += [
            SearchCell(
                problem=name,
                data=place,
                peer=peer,
                seed=seed,
                trials=trials,
                parallel=parallel,
                calibrated=calibrated,
            )
            for seed in range(seeds)
        ]
    return cells


def show(ledger: Ledger, cells: Sequence[SearchCell], name: str, parallel: int, calibrated: bool) -> None:
    kind = f"calibrated with {CALIBRATED_WITH} latencies" if calibrated else "cold"
    print(f"\n## {name}, {kind}, {parallel} in flight\n")
    rows, means = [], {}
    for peer in dict.fromkeys(cell.peer for cell in cells):
        found = [ledger[cell.key] for cell in cells if cell.peer == peer]
        longest = len(found[0]["volumes"])
        shown = []
        for count in CHECKPOINTS:
            values = [row["volumes"][count - 1] for row in found] if count <= longest else []
            means[peer, count] = statistics.fmean(values) if values else None
            shown.append(mean_and_spread(values) if values else "")
        seconds = [each for row in found for each in row["seconds"]]
        others = sorted({by for row in found for by in row["chosen_by"]} - {peer, "sobol"})
        rows.append([peer, str(len(found)), *shown, f"{statistics.median(seconds):.2f}", "; ".join(others)])
    header = ["strategy", "seeds", *(f"{count} trials" for count in CHECKPOINTS), "median s", "fell back to"]
    print(table(header, rows))
    late = {peer: means.get((peer, LATE)) for peer in PEERS}
    known = {peer: value for peer, value in late.items() if value is not None}
    early = means.get(("pareto", EARLY))
    if known and early is not None:
        best = max(known, key=known.__getitem__)
        verdict = "reached" if early >= known[best] else "missed"
        print(f"\npareto at {EARLY}: {early:.3f}; the best peer at {LATE}, {best}: {known[best]:.3f}: {verdict}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that has hat_latency/*.csv")
    parser.add_argument("--docstrings", type=Path, help="keeps data, teacher and distillations of that problem")
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/search_quality"), help="keeps all")
    parser.add_argument("--problems", nargs="+", default=None)
    parser.add_argument("--peers", nargs="+", default=[*OURS, "ax", *OPTUNA])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=CHECKPOINTS[-1])
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--quick", action="store_true", help="one seed, 20 trials, no Ax, two invented problems")
    options = parser.parse_args()
    if find_spec("optuna") is None:
        print("Optuna is not installed (extra `bench`): its samplers are left out")
        options.peers = [peer for peer in options.peers if peer not in OPTUNA]
    if options.quick:
        options.seeds, options.trials, options.problems = 1, 20, options.problems or ["cost", "shape"]
        options.peers = [peer for peer in options.peers if peer != "ax"]
    known = ["cost", "shape"]
    known += ["hat-pi", "hat-gpu"] if options.data else []
    known += ["docstrings"] if options.docstrings else []
    options.problems = options.problems or known
    missing = [name for name in options.problems if name not in known]
    if missing:
        parser.error(f"{', '.join(missing)}: unknown, or --data or --docstrings is missing")
    if options.docstrings and "docstrings" in options.problems:
        from cells.docstrings_space import train

        train(options.docstrings, processes=options.processes)
    return options


if __name__ == "__main__":
    main()
