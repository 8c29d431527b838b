"""What a suggestion takes: seconds and peak memory, by the number of trials, of objectives, and of suggestions at once.

Shows ours beside Ax's default and Optuna's GP sampler in the same run, each in a process of its own, on the space and
accuracy of the problem `shape` with random trials, with two objectives and with one and a constraint. Ax goes up to 100
trials. The median and the worst of several calls; every call has one trial more than the one before, as in a study, and
the first one of a process, which imports and warms up, is not counted. A run that was stopped goes on where it was.

    taskset -c 0,1 python benchmarks/suggest_speed.py
    python benchmarks/suggest_speed.py --quick
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
from cells.search import OBJECTIVES, problem

from optimization.registry import strategy
from optimization.strategy import StrategyTrial
from optimization.values import Constraint

PEERS = ("pareto", "optuna-gp", "ax")
TRIALS, COUNTS = (20, 100, 300, 1000), (1, 4, 16)
MOST_OF_AX = 100
BOUND_S = 0.01
GOALS = {100: 1.0, 1000: 3.0}
"""Median seconds of one suggestion that we want not to exceed."""
TIMES_FASTER_THAN_AX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCell:
    peer: str
    trials: int
    count: int
    objectives: int
    calls: int

    @property
    def key(self) -> str:
        return f"{self.peer} {self.trials} trials q={self.count} {self.objectives} objectives {self.calls} calls"


def timed(cell: SpeedCell) -> Row:
    one = problem("shape", None)
    rows = one.space.sample_rows(cell.trials + cell.calls, np.random.default_rng(0))
    trials = [one.evaluated(int(row), 0) for row in rows]
    asked = _optuna(cell) if cell.peer == "optuna-gp" else _ours(cell)
    asked(trials[: cell.trials - 1])
    seconds = []
    for call in range(cell.calls):
        begin_s = time.perf_counter()
        chosen_by = asked(trials[: cell.trials + call])
        seconds.append(time.perf_counter() - begin_s)
        if chosen_by != cell.peer:
            raise SystemExit(f"{cell.key}: fell back to {chosen_by}")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak_bytes}


def _ours(cell: SpeedCell) -> Callable[[list[StrategyTrial]], str]:
    chooser = strategy(cell.peer)
    study = problem("shape", None).study(0)
    if cell.objectives == 1:
        bound = Constraint(metric="latency_p50", bound=BOUND_S)
        study = replace(study, objectives=OBJECTIVES[:1], constraints=(bound,))

    def asked(trials: list[StrategyTrial]) -> str:
        return chooser.suggest(study, trials, cell.count)[0].strategy

    return asked


def _optuna(cell: SpeedCell) -> Callable[[list[StrategyTrial]], str]:
    """Its trials are added beforehand; only asking is timed by the caller's clock, as adding takes next to nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = problem("shape", None).space
    values = {name: sorted(set(space.columns[name].tolist())) for name in space.names}
    distributions = {name: optuna.distributions.IntDistribution(0, len(each) - 1) for name, each in values.items()}

    def bounded(trial: optuna.trial.FrozenTrial) -> tuple[float, ...]:
        return (trial.user_attrs["excess"],)

    sampler = optuna.samplers.GPSampler(
        seed=0, deterministic_objective=False, constraints_func=bounded if cell.objectives == 1 else None
    )
    directions = [str(one.direction) for one in OBJECTIVES[: cell.objectives]]
    peer = optuna.create_study(directions=directions, sampler=sampler)
    added = 0

    def asked(trials: list[StrategyTrial]) -> str:
        nonlocal added
        for trial in trials[added:]:
            shape = {name: int(getattr(trial.architecture, name)) for name in space.names}
            excess = trial.metrics["latency_p50"] - BOUND_S
            peer.add_trial(
                optuna.trial.create_trial(
                    params={name: values[name].index(size) for name, size in shape.items()},
                    distributions=distributions,
                    values=[trial.metrics[one.metric] for one in OBJECTIVES[: cell.objectives]],
                    user_attrs={"excess": excess},
                    system_attrs={"constraints": (excess,)},
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
            SpeedCell(peer=peer, trials=each, count=count, objectives=many, calls=options.calls)
            for each in trials
            for count in counts
            if peer != "ax" or each <= MOST_OF_AX
        ]

    for cell in [cell for many in kinds for peer in peers for cell in cells(peer, many)]:
        ledger.complete({cell.key: cell}, timed, processes=1, name=cell.key)  # a process each: peaks of memory
    for many in kinds:
        print(f"\n## {f'{many} objectives' if many > 1 else '1 objective and a constraint'}\n")
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
                    lines.append([peer, str(size), str(count), f"{median_s:.2f}", worst, ratio, peak])
        print(table(["strategy", "trials", "at once", "median s", "worst s", "to pareto", "peak MiB"], lines))
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
