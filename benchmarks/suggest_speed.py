"""What a suggestion takes: seconds and peak memory, by the number of trials, of objectives, and of suggestions at once.

Shows ours beside Ax's default and Optuna's GP sampler in the same run, each in a process of its own, on the problem
`cost` of search_quality with random trials, with two objectives and with one, each with a bound of 10 ms: trials beyond
it are infeasible and have no accuracy for ours, while Optuna is told one. Ax goes up to 100 trials, Optuna up to 300.
The median and the worst of several calls; every call has one trial more than the one before, as in a study, and the
first one of a process, which imports and warms up, is not counted. Ours fits its models anew whenever there are a tenth
more trials: the first call that is counted has nothing fitted, so that the worst is one that fits. A cell whose calls
take long together (--cell-s) has fewer of them, at least one; their number is shown. Peak memory is of the whole
process, with its libraries. The results are lines in --folder, so a run that was stopped goes on where it was.

    taskset -c 0,1 python benchmarks/suggest_speed.py
    python benchmarks/suggest_speed.py --quick

Ax is run with less effort in its search for the best point than its own default (optimization/ax_model.py), so that it
is faster here than as it comes.

About a quarter of an hour on two cores with --cell-s 45, nearly all of it Ax's and Optuna's.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from cells.ledger import Ledger, Row
from cells.numbers import table
from cells.search import OBJECTIVES, Problem, problem

from optimization.registry import strategy
from optimization.strategy import StrategyTrial

PEERS = ("pareto", "optuna-gp", "ax")
TRIALS, COUNTS = (20, 100, 300, 1000), (1, 4, 16)
MOST = {"ax": 100, "optuna-gp": 300}
"""Trials up to which a peer is run: it would take hours."""
BOUND_S = 0.01
GOALS = {100: 1.0, 1000: 3.0}
"""Median seconds of one suggestion that we want not to exceed."""
TIMES_FASTER_THAN_AX = 5.0
HEADER = ("strategy", "trials", "at once", "calls", "median s", "worst s", "to pareto", "peak MiB", "fell back to")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCell:
    peer: str
    trials: int
    count: int
    objectives: int
    calls: int
    cell_s: float

    @property
    def key(self) -> str:
        return f"{self.peer} {self.trials} trials q={self.count} {self.objectives} objectives {self.calls} calls"


def timed(cell: SpeedCell) -> Row:
    one = bounded_problem()
    rows = one.space.sample_rows(cell.trials + cell.calls, np.random.default_rng(0))
    trials = [one.evaluated(int(row), 0) for row in rows]
    asked = _optuna(cell) if cell.peer == "optuna-gp" else _ours(cell)
    asked(trials[: cell.trials - 1])
    seconds: list[float] = []
    fallbacks: list[str] = []
    for call in range(cell.calls):
        if seconds and sum(seconds) + seconds[-1] > cell.cell_s:
            break
        if not call:
            _forget_fits()
        begin_s = time.perf_counter()
        chosen_by = asked(trials[: cell.trials + call])
        seconds.append(time.perf_counter() - begin_s)
        fallbacks += [chosen_by] if chosen_by != cell.peer else []
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak_bytes, "fallbacks": fallbacks}


def _forget_fits() -> None:
    from optimization import surrogate  # imports torch, which a process of a peer may not have done

    surrogate._fits.clear()


def bounded_problem() -> Problem:
    return replace(problem("cost", None), bound=BOUND_S, within=None)


def _ours(cell: SpeedCell) -> Callable[[list[StrategyTrial]], str]:
    chooser = strategy(cell.peer)
    study = replace(bounded_problem().study(0), objectives=OBJECTIVES[: cell.objectives])

    def asked(trials: list[StrategyTrial]) -> str:
        names = {suggestion.strategy for suggestion in chooser.suggest(study, trials, cell.count)}
        return " and ".join(sorted(names))

    return asked


def _optuna(cell: SpeedCell) -> Callable[[list[StrategyTrial]], str]:
    """Its trials are added beforehand; only asking is timed by the caller's clock, as adding takes next to nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    one = bounded_problem()
    space = one.space
    values = {name: sorted(set(space.columns[name].tolist())) for name in space.names}
    distributions = {name: optuna.distributions.IntDistribution(0, len(each) - 1) for name, each in values.items()}

    sampler = optuna.samplers.GPSampler(seed=0)
    directions = [str(each.direction) for each in OBJECTIVES[: cell.objectives]]
    peer = optuna.create_study(directions=directions, sampler=sampler)
    added = 0

    def asked(trials: list[StrategyTrial]) -> str:
        nonlocal added
        for trial in trials[added:]:
            row = space.index(trial.architecture)
            assert row is not None
            told = {"accuracy": one.accuracy(row, 0), "latency_p50": trial.metrics["latency_p50"]}
            shape = {name: int(getattr(trial.architecture, name)) for name in space.names}
            peer.add_trial(
                optuna.trial.create_trial(
                    params={name: values[name].index(size) for name, size in shape.items()},
                    distributions=distributions,
                    values=[told[each.metric] for each in OBJECTIVES[: cell.objectives]],
                    constraints={"latency_p50": told["latency_p50"] - BOUND_S},
                )
            )
        added = len(trials)
        waiting = []
        for _ in range(cell.count):
            trial = peer.ask(distributions)
            waiting.append(trial)
        for trial in waiting:  # so that the next call has the trials of this one alone
            peer.tell(trial, state=optuna.trial.TrialState.FAIL)
        return "optuna-gp"

    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/suggest_speed"), help="keeps all")
    parser.add_argument("--peers", nargs="+", default=list(PEERS))
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--cell-s", type=float, default=120.0, help="no further call in a cell that took as long")
    parser.add_argument("--quick", action="store_true", help="up to 100 trials, one at once, two objectives, no Ax")
    options = parser.parse_args()
    if find_spec("optuna") is None:
        print("Optuna is not installed (extra `bench`): its sampler is left out")
        options.peers = [peer for peer in options.peers if not peer.startswith("optuna")]
    trials, counts, kinds, peers = TRIALS, COUNTS, (2, 1), options.peers
    if options.quick:
        trials, counts, kinds, peers = TRIALS[:2], COUNTS[:1], (2,), [peer for peer in peers if peer != "ax"]
    ledger = Ledger(options.folder / "results.jsonl")

    def cells(peer: str, many: int) -> list[SpeedCell]:
        return [
            SpeedCell(
                peer=peer,
                trials=each,
                count=count,
                objectives=many,
                calls=options.calls,
                cell_s=options.cell_s,
            )
            for each in trials
            for count in counts
            if each <= MOST.get(peer, each)
        ]

    for cell in [cell for many in kinds for peer in peers for cell in cells(peer, many)]:
        ledger.complete({cell.key: cell}, timed, processes=1, name=cell.key)  # a process each: peaks of memory
    for many in kinds:
        print(f"\n## {many} objective{'s' if many > 1 else ''} and a constraint\n")
        found = {(cell.peer, cell.trials, cell.count): ledger[cell.key] for peer in peers for cell in cells(peer, many)}
        lines = []
        for size in trials:
            for count in counts:
                middle = {
                    p: statistics.median(row["seconds"]) for (p, n, q), row in found.items() if (n, q) == (size, count)
                }
                for peer, median_s in middle.items():
                    row = found[peer, size, count]
                    ratio = f"{median_s / middle['pareto']:.1f}x" if "pareto" in middle else ""
                    worst, peak = f"{max(row['seconds']):.2f}", f"{row['peak_bytes'] / 2**20:.0f}"
                    calls = str(len(row["seconds"]))
                    fell_back = "; ".join(sorted(set(row["fallbacks"])))
                    lines.append([peer, str(size), str(count), calls, f"{median_s:.2f}", worst, ratio, peak, fell_back])
        print(table(HEADER, lines))
        for size, goal in GOALS.items():
            if ("pareto", size, 1) in found:
                median_s = statistics.median(found["pareto", size, 1]["seconds"])
                verdict = "reached" if median_s <= goal else "missed"
                print(f"\none suggestion at {size} trials: {median_s:.2f} s, wanted {goal} s: {verdict}")
            if ("ax", size, 1) in found and ("pareto", size, 1) in found:
                ratio = statistics.median(found["ax", size, 1]["seconds"]) / median_s
                verdict = "reached" if ratio >= TIMES_FASTER_THAN_AX else "missed"
                print(f"Ax takes {ratio:.1f} times as long, wanted {TIMES_FASTER_THAN_AX}: {verdict}")


if __name__ == "__main__":
    main()
