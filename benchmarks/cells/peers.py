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

from optimization.features import Features
from optimization.pool import nearest
from optimization.registry import strategy
from optimization.strategy import Standing, StrategyTrial
from optimization.untried import untried
from optimization.values import StrategyName
from search_space import SearchSpace

OURS = tuple(str(name) for name in StrategyName)
OPTUNA = ("optuna-tpe", "optuna-gp", "optuna-nsga2")

CALIBRATED_WITH = 64
"""Random architectures whose latencies are known beforehand, where a run is calibrated."""

ASKED_AGAIN = 20
"""Times that a peer may propose something else than what it has tried, or what a filter refuses."""

Values = npt.NDArray[np.float64]
Next = Callable[[Sequence[StrategyTrial]], StrategyTrial]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCell:
    """One study of so many trials, of which `parallel` are in work at any time.

    `calibrated`: everybody gets latencies of all architectures, predicted from `CALIBRATED_WITH` that were measured:
    ours as a predictor, Optuna as a filter of what lies beyond the reference.
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
    asked = _optuna(one, cell, table) if cell.peer in OPTUNA else _ours(one, cell, table)
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
        "seconds": seconds,
        "chosen_by": sorted(set(names)),
        "duplicates": len(rows) - len(set(rows)),
    }


class Calibrated:
    """Latencies of all architectures by a quadratic ridge in the logarithms, fitted to some measured ones."""

    def __init__(self, one: Problem, seed: int) -> None:
        features = Features(one.space)
        generator = np.random.default_rng([seed, 1])
        rows = one.space.sample_rows(CALIBRATED_WITH, generator)
        measured = np.log([one.evaluated(int(row), seed + 1000).metrics["latency_p50"] for row in rows])
        points = _products(features.of(rows))
        inner = points.T @ points + 1e-3 * np.eye(points.shape[1])
        weights = np.linalg.solve(inner, points.T @ measured)
        leverage = np.einsum("ij,jk,ik->i", points, np.linalg.inv(inner), points)
        left_out = (measured - points @ weights) / np.clip(1 - leverage, 0.05, None)
        self._means = np.concatenate(
            [_products(features.of(part)) @ weights for part in np.array_split(np.arange(one.space.size), 32)]
        )
        self._deviation = float(np.sqrt(np.mean(left_out**2)))

    def predict(self, space: SearchSpace) -> tuple[Values, Values]:
        return self._means, np.full(space.size, self._deviation)


def _products(points: Values) -> Values:
    width = points.shape[1]
    products = [points[:, i] * points[:, j] for i in range(width) for j in range(i, width)]
    return np.stack([np.ones(len(points)), *points.T, *products], axis=1)


def _begun(trial: StrategyTrial) -> StrategyTrial:
    """As it stands while it is distilled: its latency is known, since that is measured first."""
    kept = {"latency_p50"}
    return replace(
        trial,
        standing=Standing.PENDING,
        metrics={name: value for name, value in trial.metrics.items() if name in kept},
        variances={name: value for name, value in trial.variances.items() if name in kept},
    )


def _ours(
    one: Problem, cell: SearchCell, table: Calibrated | None
) -> Callable[[Sequence[StrategyTrial]], tuple[int, str]]:
    chooser = strategy(cell.peer)
    study = one.study(cell.seed)
    if table is not None:
        study = replace(study, predictors={"latency_p50": table})

    def asked(trials: Sequence[StrategyTrial]) -> tuple[int, str]:
        (suggestion,) = chooser.suggest(study, trials, 1)
        row = one.space.index(suggestion.architecture)
        if row is None:
            raise SystemExit(f"{cell.peer} left the space")
        return row, suggestion.strategy

    return asked


def _optuna(
    one: Problem, cell: SearchCell, table: Calibrated | None
) -> Callable[[Sequence[StrategyTrial]], tuple[int, str]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {
        "optuna-tpe": lambda: optuna.samplers.TPESampler(seed=cell.seed, constant_liar=cell.parallel > 1),
        "optuna-gp": lambda: optuna.samplers.GPSampler(seed=cell.seed, deterministic_objective=False),
        # Its default of 50 would be random search up to the fiftieth trial.
        "optuna-nsga2": lambda: optuna.samplers.NSGAIISampler(seed=cell.seed, population_size=16),
    }
    directions = [str(objective.direction) for objective in OBJECTIVES]
    peer = optuna.create_study(directions=directions, sampler=samplers[cell.peer]())
    space = one.space
    values = {name: sorted(set(space.columns[name].tolist())) for name in space.names}
    asked_for: list[tuple[optuna.Trial, int]] = []
    told: dict[int, list[float]] = {}
    predicted = None if table is None else np.exp(table.predict(space)[0])
    generator = np.random.default_rng([cell.seed, 2])

    def tell(trials: Sequence[StrategyTrial]) -> None:
        for (trial, row), result in zip(asked_for, trials, strict=True):
            if result.standing is Standing.COMPLETED and row not in told:
                told[row] = [result.metrics[objective.metric] for objective in OBJECTIVES]
                peer.tell(trial, told[row])

    def asked(trials: Sequence[StrategyTrial]) -> tuple[int, str]:
        tell(trials)
        tried = {row for _, row in asked_for}
        for _ in range(ASKED_AGAIN):
            trial = peer.ask()
            point = [values[name][trial.suggest_int(name, 0, len(values[name]) - 1)] for name in space.names]
            row = int(nearest(space, np.array([point]))[0])
            refused = predicted is not None and predicted[row] > one.reference["latency_p50"]
            if row not in tried and not refused:
                break
            if row in told:
                peer.tell(trial, told[row])
            else:
                peer.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            row = int(generator.choice(np.flatnonzero(untried(space, trials))))
            trial = peer.ask()
        asked_for.append((trial, row))
        return row, cell.peer

    return asked
