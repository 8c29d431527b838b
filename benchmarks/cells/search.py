"""Problems of search whose answer is known for every architecture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import moocore
import numpy as np
import numpy.typing as npt

from optimization.front import hypervolume
from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.values import Constraint, Direction, Objective
from search_space import Choice, IntegerRange, SearchSpace

Values = npt.NDArray[np.float64]

OBJECTIVES = (
    Objective(metric="accuracy", direction=Direction.MAXIMIZE),
    Objective(metric="latency_p50", direction=Direction.MINIMIZE),
)
MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A space with the true metrics of each of its rows.

    Args:
        truth: of each objective's metric, (space.size,).
        noise: standard deviations of an evaluation; of a latency as a share of it.
        bound: a latency that a study of it has as a constraint, in seconds.
        within: what hypervolume is counted from; by default the nadir of the true front, pushed out.
    """

    name: str
    space: SearchSpace
    truth: Mapping[str, Values]
    noise: Mapping[str, float]
    bound: float | None = None
    within: Mapping[str, float] | None = None

    @cached_property
    def best_rows(self) -> list[int]:
        losses = np.stack([-self.truth["accuracy"], self.truth["latency_p50"]], axis=1)
        best = np.flatnonzero(moocore.is_nondominated(losses))
        return [int(row) for row in best if self.bound is None or losses[row, 1] <= self.bound]

    @cached_property
    def reference(self) -> dict[str, float]:
        """The worst of the true front, pushed out by a tenth of its range; of latency the bound, where there is one."""
        if self.within is not None:
            return dict(self.within)
        accuracy, latency = (self.truth[one.metric][self.best_rows] for one in OBJECTIVES)
        return {
            "accuracy": float(accuracy.min() - MARGIN * np.ptp(accuracy)),
            "latency_p50": self.bound or float(latency.max() + MARGIN * np.ptp(latency)),
        }

    @cached_property
    def most(self) -> float:
        return self.volume(self.best_rows)

    def volume(self, rows: list[int]) -> float:
        """Hypervolume of what these rows are in truth."""
        found = [{name: float(values[row]) for name, values in self.truth.items()} for row in rows]
        return hypervolume(OBJECTIVES, found, self.reference)

    def evaluated(self, row: int, seed: int) -> StrategyTrial:
        """A trial that ended; the same noise whoever asks for this row in this seed.

        One beyond the bound is infeasible, and without an accuracy, as the service does not train it.
        """
        measured = self.latency(row, seed)
        metrics = {"latency_p50": measured}
        variances = {"latency_p50": (self.noise["latency_p50"] * measured) ** 2}
        is_feasible = self.bound is None or measured <= self.bound
        if is_feasible:
            metrics["accuracy"] = self.accuracy(row, seed)
            variances["accuracy"] = self.noise["accuracy"] ** 2
        return StrategyTrial(
            architecture=self.space.architecture(row),
            standing=Standing.COMPLETED if is_feasible else Standing.INFEASIBLE,
            metrics=metrics,
            variances=variances,
        )

    def accuracy(self, row: int, seed: int) -> float:
        """As evaluated."""
        return float(self.truth["accuracy"][row] + self.noise["accuracy"] * _drawn(row, seed)[0])

    def latency(self, row: int, seed: int) -> float:
        """As measured."""
        return float(self.truth["latency_p50"][row] * math.exp(self.noise["latency_p50"] * _drawn(row, seed)[1]))

    def study(self, seed: int) -> StrategyStudy:
        bounds = () if self.bound is None else (Constraint(metric="latency_p50", bound=self.bound),)
        return StrategyStudy(space=self.space, objectives=OBJECTIVES, constraints=bounds, seed=seed)


def _drawn(row: int, seed: int) -> Values:
    return np.random.default_rng([seed, row]).standard_normal(2)


def large_space() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=16),
            "hidden_size": Choice(values=(128, 192, 256, 320, 384, 448, 512, 640, 768)),
            "heads": Choice(values=(1, 2, 4, 8, 12)),
            "head_size": Choice(values=(16, 32, 48, 64)),
            "ffn_size": Choice(values=(128, 256, 384, 512, 768, 1024, 1536, 2048, 3072)),
            "ffn_stacks": Choice(values=(1, 2, 4)),
            "embedding_size": Choice(values=(128, 256)),
        },
        constraints=("parameters <= 40e6",),
    )


def _columns(space: SearchSpace) -> dict[str, Values]:
    names = ("layers", "hidden_size", "heads", "head_size", "ffn_size", "ffn_stacks", "parameters", "flops")
    points = space.take(np.arange(space.size))
    return {name: np.asarray(points[name], dtype=np.float64) for name in names}


def _roofline(columns: Mapping[str, Values]) -> Values:
    """Seconds on an invented device: launches, arithmetic that odd widths slow down, and reading the weights."""
    odd = 1.0 + 0.12 * (columns["hidden_size"] % 128 > 0) + 0.15 * (columns["head_size"] % 32 > 0)
    launches = 12e-6 * columns["layers"] * (4 + 2 * columns["ffn_stacks"])
    return 1e-4 + launches + odd * columns["flops"] / 6e11 + 4 * columns["parameters"] / 4e10


def _by_cost(columns: Mapping[str, Values]) -> Values:
    """An invented accuracy that saturates with size, and suffers from unbalanced shapes."""
    attention = columns["heads"] * columns["head_size"] / columns["hidden_size"]
    ratio = columns["ffn_size"] * columns["ffn_stacks"] / columns["hidden_size"]
    size = np.log(columns["layers"] * columns["hidden_size"] ** 2 * (4 * np.minimum(attention, 1.5) + 2 * ratio))
    aspect = np.log(columns["hidden_size"] / columns["layers"]) - math.log(48)
    return (
        0.90
        - 0.30 * np.exp(-0.22 * (size - 13.0))
        - 0.012 * aspect**2
        - 0.025 * np.log(attention / 0.9) ** 2
        - 0.012 * np.log(ratio / 3.0) ** 2
        - 0.025 * np.log(columns["head_size"] / 40.0) ** 2
    )


def _by_shape(columns: Mapping[str, Values]) -> Values:
    """An invented accuracy of single sizes, not of their logarithms, some of which are best in the middle.

    What cost tells of it is little: its rank correlation with parameters is 0.19, with FLOPs 0.21.
    """
    depth, width, ffn = columns["layers"] / 16, columns["hidden_size"] / 768, columns["ffn_size"] / 3072
    heads = np.log(columns["heads"]) / math.log(12)
    return (
        0.58
        + 0.22 * depth * (1.6 - depth)
        + 0.30 * width * (1.5 - width)
        + 0.05 * np.sin(4 * math.pi * width) * (1 - depth)
        - 0.10 * ffn
        - 0.12 * (heads - 0.55) ** 2
        - 0.025 * np.log2(columns["head_size"] / 32) ** 2
        - 0.025 * (columns["ffn_stacks"] - 1)
    )


def hat_space() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=6),
            "hidden_size": Choice(values=(512, 640)),
            "heads": Choice(values=(2, 4, 5, 6, 8)),
            "head_size": Choice(values=(32, 64, 96)),
            "ffn_size": IntegerRange(low=512, high=3072, step=128),
            "embedding_size": Choice(values=(128, 256)),
        }
    )


HAT_FEATURES = (
    "decoder_layer_num",
    "decoder_embed_dim",
    "decoder_self_attention_heads_avg",
    "decoder_ffn_embed_dim_avg",
)


def _hat(columns: Mapping[str, Values], path: Path) -> Values:
    """Seconds of a decoder measured by HAT: a quadratic fit to its table, times the residual of the nearest row.

    So the smooth part is that of a real device, and so is how far single architectures are from it.
    """
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = np.array([[float(row[name]) for name in HAT_FEATURES] for row in rows])
    seconds = np.array([float(row["latency_mean_decoder"]) for row in rows]) / 1000
    asked = np.stack([columns[name] for name in ("layers", "hidden_size", "heads", "ffn_size")], axis=1)
    low, width = table.min(axis=0), np.ptp(table, axis=0)
    known, wanted = (table - low) / width, (asked - low) / width
    weights, *_ = np.linalg.lstsq(_quadratic(known), np.log(seconds), rcond=None)
    residuals = np.log(seconds) - _quadratic(known) @ weights
    from scipy.spatial import KDTree

    _, nearest = KDTree(known).query(wanted)
    return np.exp(_quadratic(wanted) @ weights + residuals[nearest])


def _quadratic(points: Values) -> Values:
    products = [points[:, i] * points[:, j] for i in range(points.shape[1]) for j in range(i, points.shape[1])]
    return np.stack([np.ones(len(points)), *points.T, *products], axis=1)


NOISE = {"accuracy": 0.004, "latency_p50": 0.02}


SHAPE_BOUND_S = 2.5e-3
COST_WITHIN = {"accuracy": 0.6, "latency_p50": 0.012}
"""The nadir is that of the fastest, of which the accuracy is useless: within it ten random architectures have 0.88."""


@cache
def problem(name: str, data: Path | None) -> Problem:
    """By name.

    `cost`: invented accuracy that follows cost, invented latency. `shape`: invented accuracy that hardly follows cost,
    the same latency, with a bound. `hat-pi`, `hat-gpu`: measured latencies of HAT's tables below `data`, invented
    accuracy that follows cost. `docstrings`: real flash accuracies from the table beside this file, invented latency.
    """
    if name == "docstrings":
        return _docstrings()
    space = large_space() if name in ("cost", "shape") else hat_space()
    columns = _columns(space)
    accuracy = _by_shape(columns) if name == "shape" else _by_cost(columns)
    file = {"hat-pi": "wmt14ende_cpu_raspberrypi_all.csv", "hat-gpu": "iwslt14deen_gpu_titanxp_all.csv"}.get(name)
    latency = _roofline(columns) if file is None else _hat(columns, (data or Path()) / "hat_latency" / file)
    return Problem(
        name=name,
        space=space,
        truth={"accuracy": accuracy, "latency_p50": latency},
        noise=NOISE,
        bound=SHAPE_BOUND_S if name == "shape" else None,
        within=COST_WITHIN if name == "cost" else None,
    )


def _docstrings() -> Problem:
    """Accuracies are the means of two seeds; the noise is as large as those differ."""
    from cells.docstrings_space import read

    found = read()
    first, second = (np.array(values) for values in found.accuracies)
    return Problem(
        name="docstrings",
        space=found.space,
        truth={"accuracy": (first + second) / 2, "latency_p50": _roofline(_columns(found.space))},
        noise=NOISE | {"accuracy": float(np.sqrt(np.mean((first - second) ** 2) / 2))},
    )
