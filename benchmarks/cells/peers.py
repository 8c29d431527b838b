"""Strategies and peers on the problems of `cells.search`: one run is what a study would have found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cells.ledger import Row
from cells.search import OBJECTIVES, Problem, problem

from hardware.fitting import fit_latency
from optimization.coordinates import Coordinates
from optimization.pareto_strategy import ParetoStrategy
from optimization.pool import nearest
from optimization.registry import strategy
from optimization.strategy import Standing, StrategyTrial
from optimization.untried import untried
from search_space import SearchSpace
from search_space.latency_features import features_of

TOLD = "pareto-told"
"""`pareto` in a study whose file names the reference that hypervolume is counted from, which nobody else is told."""

OPTUNA = ("optuna-tpe", "optuna-gp", "optuna-nsga2")

CALIBRATED_WITH = 64
"""Random architectures whose latencies are known beforehand, where a run is calibrated."""

ASKED_AGAIN = 20
"""Times that a peer may propose something else than what it has tried, or what a filter refuses."""

PATIENCE_S = 3600.0

Values = npt.NDArray[np.float64]
Asked = Callable[[Sequence[StrategyTrial]], tuple[int, str]]
"""Row of the next architecture to try, and what chose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCell:
    """One study of so many trials, of which `parallel` are in work at any time.

    `calibrated`: everybody gets latencies of all architectures, predicted from `CALIBRATED_WITH` that were measured:
    `pareto` as a predictor, all others as a filter of what lies beyond the reference (the bound, where there is one).
    """

    problem: str
    data: Path | None
    peer: str
    seed: int
    trials: int
    parallel: int = 1
    calibrated: bool = False

    @property
    def key(self) -> str:
        kind = f"{self.parallel} in flight{', calibrated' if self.calibrated else ''}"
        return f"{self.problem} {self.peer} seed {self.seed} {self.trials} trials {kind}"


def searched(cell: SearchCell) -> Row:
    """Normalised hypervolume after each trial, the seconds of each suggestion, and the strategies that chose."""
    one = problem(cell.problem, cell.data)
    table = Calibrated(one, cell.seed) if cell.calibrated else None
    if cell.peer in OPTUNA:
        asked = _optuna(one, cell, table)
    else:
        asked = _ours(one, cell, table) if cell.peer in ("pareto", TOLD) else _filtered(one, cell, table)
    trials: list[StrategyTrial] = []
    rows: list[int] = []
    seconds: list[float] = []
    names: list[str] = []
    for place in range(cell.trials):
        done = place - cell.parallel + 1  # trials are equally long, so they end in the order in which they began
        seen = [trial if order < done else _begun(trial) for order, trial in enumerate(trials)]
        begin_s = time.perf_counter()
        row, name = asked(seen)
        seconds.append(round(time.perf_counter() - begin_s, 4))
        rows.append(row)
        names.append(name)
        trials.append(one.evaluated(row, cell.seed))
    volumes = [round(one.volume(rows[:count]) / one.most, 5) for count in range(1, cell.trials + 1)]
    return {
        "volumes": volumes,
        "infeasible": sum(trial.standing is Standing.INFEASIBLE for trial in trials),
        "seconds": seconds,
        "chosen_by": sorted(set(names)),
        "duplicates": len(rows) - len(set(rows)),
    }


class Calibrated:
    """Latencies of all architectures as the product predicts them from some measured ones."""

    def __init__(self, one: Problem, seed: int) -> None:
        rows = one.space.sample_rows(CALIBRATED_WITH, np.random.default_rng([seed, 1]))
        measured = [one.latency(int(row), seed + 1000) for row in rows]
        features = features_of([one.space.architecture(int(row)) for row in rows], batch=1, length=128)
        self._means, self._deviations = fit_latency(features, measured, length=128, seed=seed).model.predict(one.space)

    def predict(self, space: SearchSpace) -> tuple[Values, Values]:
        del space  # the problem's own
        return self._means, self._deviations

    def refuses(self, one: Problem) -> npt.NDArray[np.bool_]:
        """Rows whose predicted latency is beyond the reference."""
        refused: npt.NDArray[np.bool_] = np.exp(self._means) > one.reference["latency_p50"]
        return refused


def _begun(trial: StrategyTrial) -> StrategyTrial:
    """As it stands while it is distilled: its latency is known, since that is measured first."""
    kept = {"latency_p50"}
    return replace(
        trial,
        standing=Standing.PENDING,
        metrics={name: value for name, value in trial.metrics.items() if name in kept},
        variances={name: value for name, value in trial.variances.items() if name in kept},
    )


def _ours(one: Problem, cell: SearchCell, table: Calibrated | None) -> Asked:
    # What is found must not depend on how busy the machine is; how long it takes is another benchmark.
    is_pareto = cell.peer in ("pareto", TOLD)
    chooser = ParetoStrategy(deadline_s=PATIENCE_S) if is_pareto else strategy(cell.peer)
    study = replace(
        one.study(cell.seed),
        predictors={} if table is None else {"latency_p50": table},
        reference=one.reference if cell.peer == TOLD else None,
    )

    def asked(trials: Sequence[StrategyTrial]) -> tuple[int, str]:
        (suggestion,) = chooser.suggest(study, trials, 1)
        row = one.space.index(suggestion.architecture)
        if row is None:
            raise SystemExit(f"{cell.peer} left the space")
        return row, suggestion.strategy

    return asked


def _filtered(one: Problem, cell: SearchCell, table: Calibrated | None) -> Asked:
    """One that has no use for a predictor: what the table refuses is as if it had been tried in vain."""
    chosen = _ours(one, cell, None)
    if table is None:
        return chosen
    refuses = table.refuses(one)
    refused: list[StrategyTrial] = []

    def asked(trials: Sequence[StrategyTrial]) -> tuple[int, str]:
        while True:
            row, name = chosen([*trials, *refused])
            if not refuses[row]:
                return row, name
            refused.append(StrategyTrial(architecture=one.space.architecture(row), standing=Standing.FAILED))

    return asked


def _optuna(one: Problem, cell: SearchCell, table: Calibrated | None) -> Asked:
    """A bound is a constraint to it; of a trial beyond one it is told the accuracy all the same, as it wants values."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {
        "optuna-tpe": lambda: optuna.samplers.TPESampler(seed=cell.seed),
        "optuna-gp": lambda: optuna.samplers.GPSampler(seed=cell.seed),
        # Its default of 50 would be random search up to the fiftieth trial.
        "optuna-nsga2": lambda: optuna.samplers.NSGAIISampler(seed=cell.seed, population_size=16),
    }
    directions = [str(objective.direction) for objective in OBJECTIVES]
    peer = optuna.create_study(directions=directions, sampler=samplers[cell.peer]())
    space = one.space
    values = {name: sorted(set(space.columns[name].tolist())) for name in space.names}
    asked_for: list[tuple[optuna.Trial, int]] = []
    told: dict[int, tuple[float, float]] = {}
    refuses = np.zeros(space.size, dtype=np.bool_) if table is None else table.refuses(one)
    coordinates = Coordinates(space)

    def finish(trial: optuna.Trial, row: int) -> None:
        accuracy, latency = told[row]
        if one.bound is not None:
            trial.set_constraint("latency_p50", latency - one.bound)
        peer.tell(trial, [accuracy, latency])

    def proposed() -> tuple[optuna.Trial, int]:
        trial = peer.ask()
        point = [values[name][trial.suggest_int(name, 0, len(values[name]) - 1)] for name in space.names]
        return trial, int(nearest(space, np.array([point]))[0])

    def asked(trials: Sequence[StrategyTrial]) -> tuple[int, str]:
        for (trial, row), result in zip(asked_for, trials, strict=True):
            if result.standing is not Standing.PENDING and row not in told:
                told[row] = one.accuracy(row, cell.seed), result.metrics["latency_p50"]
                finish(trial, row)
        tried = {row for _, row in asked_for}
        for _ in range(ASKED_AGAIN):
            trial, row = proposed()
            if row not in tried and not refuses[row]:
                break
            if row in told:
                finish(trial, row)
            else:
                peer.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            left = untried(space, trials)
            near = coordinates.nearest(coordinates.points[row], left & ~refuses if (left & ~refuses).any() else left)
            peer.enqueue_trial({name: values[name].index(int(space.columns[name][near])) for name in space.names})
            trial, row = proposed()
        asked_for.append((trial, row))
        return row, cell.peer

    return asked
