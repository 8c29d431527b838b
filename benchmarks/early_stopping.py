"""What early stopping saves, and what it costs: learning curves replayed under several rules.

Trials are gone through in their order, one at a time; a rule may end each at the points of its curve. Shown for each:
steps saved, stopped trials, how many of these were wrong (on the front when nobody is stopped), hypervolume lost at
equal trials, and (where there are more trials than the budget) gained at equal steps. The rules: never; the product's
(stop what is dominated even at the optimistic end of its forecast), with its own forecast, with that at less
confidence, with three others, and by an oracle that knows each end, which bounds what the rule can save; median
stopping; MO-ASHA. The second table says how often curves ended below the stated 95 % end, each judged by those before.
What a strategy would have suggested instead is not replayed: the order of the trials is given.

Curves come from three places:
- simulated ones, of four kinds whose laws are in `simulated`: they are no measurements, and show what would happen if;
- --record: real ones, of students of examples/demo.yaml in the order of a Sobol sequence over its space; quality
  against parameters, for which nothing has to be timed. Distilled here; a run that was stopped goes on;
- --store URL: those of the studies in a database at the present schema; may be given several times.
Recorded trials are gone through in their own order and in others.

    python benchmarks/early_stopping.py --record --processes 2
    python benchmarks/early_stopping.py --quick
    python benchmarks/early_stopping.py --no-simulation --store sqlite:///.stillhouse/stillhouse.db
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
from cells.curves import KINDS, SHARES, recorded, shuffled, simulated, stored
from cells.numbers import table
from cells.replays import (
    Policy,
    Problem,
    below_median,
    best,
    dominated,
    last_value,
    mo_asha,
    never,
    oracle,
    power_law,
    quantile_of_gains,
    replay,
    volume,
)

from optimization.curves import Curve, forecast
from optimization.early_stopping import Forecaster, KnownTrial, Learnt

FORECASTS: dict[str, Forecaster] = {
    "regression (the product's)": forecast,
    "quantile of gains": quantile_of_gains,
    "power law": power_law,
    "last value": last_value,
}
POLICIES: dict[str, Policy] = {
    "never": never,
    "dominated: oracle": oracle,
    "dominated: regression, at 80 %": dominated(partial(forecast, confidence=0.8)),
    **{f"dominated: {name}": dominated(forecaster) for name, forecaster in FORECASTS.items()},
    "median stopping": below_median,
    "MO-ASHA": mo_asha,
}


def main() -> None:
    options = parsed()
    groups: dict[str, list[Problem]] = {}
    if not options.no_simulation:
        for kind in KINDS:
            groups[f"simulated, {kind}"] = [simulated(kind, options.trials, seed) for seed in range(options.seeds)]
    for url in options.store:
        for problem in stored(url):
            groups.setdefault(f"recorded, study {problem.name}", []).extend(shuffled(problem, options.seeds))
    if options.record:
        real = recorded(options.folder, trials=options.trials, steps=options.steps, processes=options.processes)
        groups["recorded, docstrings"] = shuffled(real, options.seeds)
    for name, problems in groups.items():
        print(f"\n## {name}: {problems[0].budget} trials, {len(problems)} times\n")
        print(table(HEADER, outcomes(problems)))
        print(f"\n{table(['forecast', *(f'after {share:.0%}' for share in SHARES[:-1])], calibrations(problems))}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="of a study")
    parser.add_argument("--seeds", type=int, default=8, help="simulated studies, orders of recorded ones")
    parser.add_argument("--no-simulation", action="store_true")
    parser.add_argument("--store", action="append", default=[], help="address of a database, sqlite:///PATH")
    parser.add_argument("--record", action="store_true", help="distil on this machine what is not recorded yet")
    parser.add_argument("--steps", type=int, default=200, help="of a recorded distillation")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/early_stopping"), help="keeps all")
    parser.add_argument("--quick", action="store_true", help="two small studies of each kind: shows that it runs")
    options = parser.parse_args()
    if options.quick:
        options.trials, options.seeds = 16, 2
    return options


HEADER = ["rule", "steps saved", "stopped", "of these wrong", "hypervolume lost", "at most", "gained at equal steps"]


def outcomes(problems: Sequence[Problem]) -> Iterator[list[str]]:
    whole = [volume(problem, range(problem.budget)) for problem in problems]
    for name, policy in POLICIES.items():
        runs = [replay(problem, policy) for problem in problems]
        saved = [1 - run.spent / problem.budget for run, problem in zip(runs, problems, strict=True)]
        wrong = [len(best(problem).intersection(run.stopped)) for run, problem in zip(runs, problems, strict=True)]
        stopped = sum(len(run.stopped) for run in runs)
        lost = [
            1 - volume(problem, run.completed) / full for run, problem, full in zip(runs, problems, whole, strict=True)
        ]
        equal = [
            volume(problem, replay(problem, policy, steps=problem.budget).completed) / full - 1
            for problem, full in zip(problems, whole, strict=True)
            if len(problem.trials) > problem.budget
        ]
        yield [
            name,
            f"{fmean(saved):.1%}",
            f"{stopped / len(problems):.1f}",
            f"{sum(wrong) / stopped:.1%}" if stopped else "",
            f"{fmean(lost):.2%}",
            f"{max(lost):.2%}",
            f"{fmean(equal):+.2%}" if equal else "",
        ]


def calibrations(problems: Sequence[Problem]) -> Iterator[list[str]]:
    """How often curves ended below the optimistic end, and how far that lay above where they ended."""
    for name, forecaster in FORECASTS.items():
        cells = []
        for points in range(1, len(SHARES)):
            below, above = [], []
            for problem in problems:
                curves = [_goodness(problem.learnt, trial) for trial in problem.trials[: problem.budget]]
                noises = [problem.learnt.noise(trial) for trial in problem.trials]
                for place, curve in enumerate(curves):
                    if len(curve.shares) <= points or curve.final is None:
                        continue
                    begun = Curve(shares=curve.shares[:points], values=curve.values[:points])
                    found = forecaster(curves[:place], begun, noise=float(np.median(noises)))
                    if found is not None:
                        below.append(curve.final <= found.optimistic)
                        above.append(found.optimistic - curve.final)
            cells.append(f"{fmean(below):.1%} of {len(below)}, {fmean(above):+.3f}" if below else "")
        yield [name, *cells]


def _goodness(learnt: Learnt, trial: KnownTrial) -> Curve:
    if trial.curve is None:
        raise ValueError("a trial without a curve cannot be replayed")
    values = tuple(map(learnt.goodness, trial.curve.values))
    return Curve(shares=trial.curve.shares, values=values, final=learnt.goodness(trial.metrics[learnt.metric]))


if __name__ == "__main__":
    main()
