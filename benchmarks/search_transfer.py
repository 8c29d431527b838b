"""What earlier studies of the same space are worth, and what they cost where they are misleading.

`pareto` searches the problems of search_quality with: no source; a related one, a study of 60 random trials of the same
space under another accuracy (rescaled, and bent where depth meets width) and another device; the same one with its
metrics shuffled among its trials; and both. Shows normalised hypervolume after 10, 20 and 40 trials, the trials that
reach what searching alone has at 40, and the differences paired by seed. Wanted: a shuffled source costs at most 1 %, a
related one saves at least 25 % of the trials after which searching alone has come as far. A run that was stopped goes
on where it was.

    python benchmarks/search_transfer.py --processes 2
    python benchmarks/search_transfer.py --quick

40 studies of 40 trials take 133 s with two processes on two cores of an AMD EPYC.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cells.ledger import Ledger, Row
from cells.numbers import mean_and_spread, paired, table
from cells.search import problem

from optimization.pareto_strategy import ParetoStrategy
from optimization.strategy import Standing, StrategyTrial

PROBLEMS = ("cost", "shape")
SOURCES = ("none", "related", "shuffled", "both")
SOURCE_TRIALS = 60
CHECKPOINTS = (10, 20, 40)
PATIENCE_S = 3600.0
COSTS_AT_MOST, SAVES_AT_LEAST = 0.01, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCell:
    problem: str
    sources: str
    seed: int
    trials: int

    @property
    def key(self) -> str:
        return f"{self.problem} from {self.sources} seed {self.seed} {self.trials} trials"


def searched(cell: TransferCell) -> Row:
    one = problem(cell.problem, None)
    related = earlier(cell.problem, cell.seed)
    sources = {
        "none": (),
        "related": (related,),
        "shuffled": (shuffled(related, cell.seed),),
        "both": (related, shuffled(related, cell.seed)),
    }[cell.sources]
    study = replace(one.study(cell.seed), sources=sources)
    # What is found must not depend on how busy the machine is.
    chooser = ParetoStrategy(deadline_s=PATIENCE_S)
    trials: list[StrategyTrial] = []
    rows: list[int] = []
    names: set[str] = set()
    while len(rows) < cell.trials:
        (suggestion,) = chooser.suggest(study, trials, 1)
        row = one.space.index(suggestion.architecture)
        if row is None:
            raise SystemExit("a suggestion left the space")
        names.add(suggestion.strategy)
        rows.append(row)
        trials.append(one.evaluated(row, cell.seed))
    volumes = [one.volume(rows[:count]) / one.most for count in range(1, cell.trials + 1)]
    return {"volumes": volumes, "chosen_by": sorted(names)}


def earlier(name: str, seed: int) -> tuple[StrategyTrial, ...]:
    """A study of another task on another device: alike, not the same."""
    one = problem(name, None)
    rows = one.space.sample_rows(SOURCE_TRIALS, np.random.default_rng([seed, 3]))
    trials = []
    for row in rows:
        trial = one.evaluated(int(row), seed + 500)
        shape = trial.architecture
        bent = 0.01 * np.log(shape.layers) * np.log(shape.hidden_size / 128)
        metrics = {
            "accuracy": 0.2 + 0.6 * one.accuracy(int(row), seed + 500) + bent,
            "latency_p50": 5.0 * trial.metrics["latency_p50"] ** 0.9,
        }
        trials.append(replace(trial, standing=Standing.COMPLETED, metrics=metrics, variances={}))
    return tuple(trials)


def shuffled(trials: Sequence[StrategyTrial], seed: int) -> tuple[StrategyTrial, ...]:
    order = np.random.default_rng([seed, 4]).permutation(len(trials))
    return tuple(replace(trial, metrics=trials[place].metrics) for trial, place in zip(trials, order, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/search_transfer"), help="keeps all")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=CHECKPOINTS[-1])
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--quick", action="store_true", help="one problem and seed, 12 trials")
    options = parser.parse_args()
    if options.quick:
        options.problems, options.seeds, options.trials = options.problems[:1], 1, 12
    cells = [
        TransferCell(problem=name, sources=sources, seed=seed, trials=options.trials)
        for seed in range(options.seeds)
        for name in options.problems
        for sources in SOURCES
    ]
    ledger = Ledger(options.folder / "results.jsonl")
    ledger.complete({cell.key: cell for cell in cells}, searched, processes=options.processes, name="studies")
    for name in options.problems:
        show(
            name,
            {
                sources: [ledger[cell.key] for cell in cells if (cell.problem, cell.sources) == (name, sources)]
                for sources in SOURCES
            },
        )


def show(name: str, found: dict[str, list[Row]]) -> None:
    print(f"\n## {name}\n")
    last = len(found["none"][0]["volumes"])
    aim = statistics.fmean(row["volumes"][-1] for row in found["none"])
    lines = []
    for sources, rows in found.items():
        at = [mean_and_spread([row["volumes"][count - 1] for row in rows]) for count in CHECKPOINTS if count <= last]
        ends = [row["volumes"][-1] for row in rows]
        alone = [row["volumes"][-1] for row in found["none"]]
        lines.append([sources, *at, paired(ends, alone), str(reached(rows, aim))])
    counts = [f"{count} trials" for count in CHECKPOINTS if count <= last]
    print(table(["sources", *counts, f"to none, at {last}", f"trials to {aim:.3f}"], lines))
    cost = 1 - statistics.fmean(row["volumes"][-1] for row in found["shuffled"]) / aim
    needed, alone_needs = reached(found["related"], aim), reached(found["none"], aim) or last
    saved = 0.0 if needed is None else 1 - needed / alone_needs
    print(f"\na shuffled source costs {cost:.1%}: {'as wanted' if cost <= COSTS_AT_MOST else 'more than wanted'}")
    verdict = "as wanted" if saved >= SAVES_AT_LEAST else "missed"
    print(f"a related one saves {saved:.0%} of {alone_needs} trials: {verdict}")


def reached(rows: Sequence[Row], aim: float) -> int | None:
    """The first number of trials whose mean volume over seeds is at least `aim`; None if none is."""
    for count in range(1, len(rows[0]["volumes"]) + 1):
        if statistics.fmean(row["volumes"][count - 1] for row in rows) >= aim:
            return count
    return None


if __name__ == "__main__":
    main()
