"""How much of the attainable hypervolume each strategy has found after 10, 20, 40 and 60 trials.

Shows our strategies beside Ax's default, Optuna's TPE, GP and NSGA-II samplers and random search, in one run, with
noisy evaluations, on problems whose true front is known:

    cost       an invented accuracy that follows cost, an invented device; 128,802 architectures
    shape      the same device and space, an accuracy that hardly follows cost (rank correlation 0.2), and a bound of
               2.5 ms: what is found beyond it is infeasible, and counts as a trial all the same
    hat-pi     latencies of HAT's table of a Raspberry Pi 4 (--data), an invented accuracy; 7,560 architectures
    docstrings accuracies of real flash distillations of all 128 architectures of a small space, each made twice (their
               table is beside this script; --train FOLDER makes it where it was removed), an invented device
    hat-gpu    as hat-pi for a Titan Xp, whose fastest and slowest are nearer to each other; only where asked for

Hypervolume is that of what the tried architectures are in truth, as a share of the whole true front's, within the
front's nadir pushed out by a tenth (of latency, within the bound). Three settings:

    cold        nobody knows a latency, one trial at a time
    in flight   4 or 8 trials are in work whenever one is suggested; their latencies are known, as in the service
    calibrated  everybody gets latencies predicted from 64 measured ones by the product's model: `pareto` as a
                predictor, the others as a filter of what lies beyond the reference. The measuring is billed: by
                --measurement-s and --trial-s, which are assumptions, it costs some trials, which every count includes.

`pareto-told` is `pareto` in a study whose file names the reference, cold and calibrated; `pareto` infers one, though
the peers' filter knows it. Optuna may ask again where it repeats itself or the filter refuses, 20 times, and is then
given the nearest architecture. Ax has three seeds, 40 trials and two problems, cold, so that the run ends; its search
for the best point has less effort than its own default (optimization/ax_model.py). Seeds are the outer loop and every
study is a line of results.jsonl, so a run that was stopped goes on where it was, and --show prints what is there.

    python benchmarks/search_quality.py --data DIR --train FOLDER --processes 2
    python benchmarks/search_quality.py --quick

Under each table: whether `pareto` has at 20 trials what the best peer has at 40.

Estimated from parts: an hour with two processes, most of it Ax and Optuna's GP sampler.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from cells import docstrings_space
from cells.ledger import Ledger, Row
from cells.numbers import mean_and_spread, paired, table
from cells.peers import CALIBRATED_WITH, OPTUNA, TOLD, SearchCell, searched

CHECKPOINTS = (10, 20, 40, 60)
OURS = ("pareto", TOLD, "evolution", "sobol", "random")
PEERS = ("random", "ax", *OPTUNA)
"""What the goal is compared with."""
AX_PROBLEMS, AX_SEEDS, AX_TRIALS = ("cost", "hat-pi"), 3, 40
EARLY, LATE = 20, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    parallel: int = 1
    calibrated: bool = False

    @property
    def name(self) -> str:
        return "calibrated" if self.calibrated else "cold" if self.parallel == 1 else f"{self.parallel} in flight"


SETTINGS = (Setting(), Setting(calibrated=True), Setting(parallel=4), Setting(parallel=8))


def main() -> None:
    options = parsed()
    ledger = Ledger(options.folder / "results.jsonl")
    parts = list(product(options.problems, options.settings))
    cells = [cell for name, setting in parts for cell in cells_of(options, name, setting)]
    if not options.show:
        complete(ledger, options, [cell for cell in cells if cell.problem != "docstrings"])
        if "docstrings" in options.problems:  # last: its distillations take long
            train_docstrings(options)
            complete(ledger, options, [cell for cell in cells if cell.problem == "docstrings"])
    for name, setting in parts:
        found = [(cell, ledger[cell.key]) for cell in cells_of(options, name, setting) if cell.key in ledger]
        if found:
            show(found, name, setting, bill=billed(options) if setting.calibrated else 0)


def complete(ledger: Ledger, options: argparse.Namespace, cells: Sequence[SearchCell]) -> None:
    """Runs what is not there yet; of every seed all, before the next seed."""
    ordered = {cell.key: cell for cell in sorted(cells, key=lambda cell: cell.seed)}
    ledger.complete(ordered, searched, processes=options.processes, name="studies")


def train_docstrings(options: argparse.Namespace) -> None:
    from cells.docstrings_training import train  # imports torch and transformers, which no other part needs

    train(options.train, processes=options.processes)


def cells_of(options: argparse.Namespace, name: str, setting: Setting) -> list[SearchCell]:
    cells = []
    for peer in options.peers:
        seeds, trials = options.seeds, options.trials
        if peer == TOLD and setting.parallel > 1:
            continue
        if peer == "ax":
            if name not in AX_PROBLEMS or setting != Setting():
                continue
            seeds, trials = min(seeds, AX_SEEDS), min(trials, AX_TRIALS)
        cells += [
            SearchCell(
                problem=name,
                data=options.data,
                peer=peer,
                seed=seed,
                trials=trials,
                parallel=setting.parallel,
                calibrated=setting.calibrated,
            )
            for seed in range(seeds)
        ]
    return cells


def billed(options: argparse.Namespace) -> int:
    """Trials that a calibration costs."""
    return math.ceil(CALIBRATED_WITH * options.measurement_s / options.trial_s)


def show(found: Sequence[tuple[SearchCell, Row]], name: str, setting: Setting, bill: int) -> None:
    print(f"\n## {name}, {setting.name}\n")
    if setting.calibrated:
        print(f"{CALIBRATED_WITH} measured latencies count as the first {bill} trials.\n")
    rows = []
    by_peer = {
        peer: {cell.seed: row for cell, row in found if cell.peer == peer}
        for peer in dict.fromkeys(cell.peer for cell, _ in found)
    }
    for peer, studies in by_peer.items():
        values = [volumes(studies, count - bill) for count in CHECKPOINTS]
        seconds = [each for row in studies.values() for each in row["seconds"]]
        own = {"sobol", "pareto" if peer == TOLD else peer}
        others = sorted({by for row in studies.values() for by in row["chosen_by"]} - own)
        rows.append(
            [
                peer,
                str(len(studies)),
                *(mean_and_spread(list(each.values())) if each else "" for each in values),
                f"{statistics.median(seconds):.2f}",
                str(sum(row["infeasible"] for row in studies.values())),
                "; ".join(others),
            ]
        )
    shown = [f"{count} trials" for count in CHECKPOINTS]
    print(table(["strategy", "seeds", *shown, "median s", "infeasible", "also chosen by"], rows))
    late = {peer: volumes(by_peer[peer], LATE - bill) for peer in PEERS if peer in by_peer}
    late = {peer: each for peer, each in late.items() if each}
    early = volumes(by_peer.get("pareto", {}), EARLY - bill)
    if late and early:
        print(f"\n{verdict(by_peer['pareto'], early, late, bill)}")


def volumes(studies: dict[int, Row], count: int) -> dict[int, float]:
    """Hypervolume of each seed after so many trials; nothing where a study is shorter."""
    if count < 1:
        return {}
    return {seed: row["volumes"][count - 1] for seed, row in studies.items() if len(row["volumes"]) >= count}


def verdict(studies: dict[int, Row], early: dict[int, float], late: dict[str, dict[int, float]], bill: int) -> str:
    best = max(late, key=lambda peer: statistics.fmean(late[peer].values()))
    ours, theirs = statistics.fmean(early.values()), statistics.fmean(late[best].values())
    both = sorted(early.keys() & late[best].keys())
    difference = paired([early[seed] for seed in both], [late[best][seed] for seed in both]) if both else ""
    counts = range(bill + 1, CHECKPOINTS[-1] + 1)
    means = [statistics.fmean(found.values()) if (found := volumes(studies, count - bill)) else 0.0 for count in counts]
    reached = next((str(count) for count, mean in zip(counts, means, strict=True) if mean >= theirs), "more")
    return (
        f"pareto at {EARLY}: {ours:.3f}; the best peer at {LATE}, {best}: {theirs:.3f}; "
        f"{'reached' if ours >= theirs else 'missed'}, {difference} over {len(both)} seeds; "
        f"pareto needs {reached} trials"
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that has hat_latency/*.csv")
    parser.add_argument("--train", type=Path, help="keeps data, teacher and distillations of `docstrings`")
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/search_quality"), help="keeps all")
    parser.add_argument("--problems", nargs="+", default=None)
    parser.add_argument("--peers", nargs="+", default=[*OURS, "ax", *OPTUNA])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=CHECKPOINTS[-1])
    parser.add_argument("--measurement-s", type=float, default=10.0, help="assumed of one calibration measurement")
    parser.add_argument("--trial-s", type=float, default=600.0, help="assumed of one flash distillation")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--show", action="store_true", help="print what is there and run nothing")
    parser.add_argument("--quick", action="store_true", help="one seed, 20 trials, cold, no Ax, two invented problems")
    options = parser.parse_args()
    options.settings = SETTINGS
    if find_spec("optuna") is None:
        print("Optuna is not installed (extra `bench`): its samplers are left out")
        options.peers = [peer for peer in options.peers if peer not in OPTUNA]
    if options.quick:
        options.seeds, options.trials, options.problems = 1, 20, options.problems or ["cost", "shape"]
        options.peers = [peer for peer in options.peers if peer != "ax"]
        options.settings = SETTINGS[:1]
    known_problems(parser, options)
    return options


def known_problems(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Fills `problems` in, or refuses those that cannot be had."""
    has_table = docstrings_space.TABLE.is_file()
    default = ["cost", "shape", *(["hat-pi"] if options.data else [])]
    default += ["docstrings"] if has_table or options.train else []
    known = [*default, *(["hat-gpu"] if options.data else [])]
    options.problems = options.problems or default
    missing = [name for name in options.problems if name not in known]
    if missing:
        parser.error(f"{', '.join(missing)}: unknown, or --data or --train is missing")


if __name__ == "__main__":
    main()
