"""A space of 48 points, with metrics in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.values import Constraint, Direction, Objective
from search_space import Architecture, Choice, IntegerRange, SearchSpace

Metrics = Callable[[Architecture], dict[str, float]]


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=4),
            "hidden_size": Choice(values=(48, 64, 96)),
            "heads": Choice(values=(2, 4)),
            "ffn_size": Choice(values=(64, 256)),
        },
        vocabulary_size=1000,
        max_positions=32,
    )


@pytest.fixture
def study(space) -> StrategyStudy:
    return StrategyStudy(
        space=space,
        objectives=(
            Objective(metric="accuracy", direction=Direction.MAXIMIZE),
            Objective(metric="latency_p50", direction=Direction.MINIMIZE),
        ),
        constraints=(
            Constraint(metric="latency_p50", bound=0.004),
            Constraint(metric="parameters", bound=10_000_000),
        ),
        seed=5,
    )


@pytest.fixture
def metrics() -> Metrics:
    def measured(architecture: Architecture) -> dict[str, float]:
        work = architecture.layers * architecture.hidden_size * (architecture.hidden_size + architecture.ffn_size)
        return {
            "accuracy": 0.9 - 2.0 / architecture.hidden_size**0.5 - 0.1 / architecture.layers,
            "latency_p50": 1e-4 + 2.5e-8 * work,
            "parameters": float(10 * work),
        }

    return measured


@pytest.fixture
def history(metrics) -> Callable[[Iterable[Architecture]], list[StrategyTrial]]:
    """Trials of these architectures: of every six, three completed, one infeasible without accuracy, one stopped with
    a forecast of it, one failed.
    """

    def made(architectures: Iterable[Architecture]) -> list[StrategyTrial]:
        trials = []
        for place, architecture in enumerate(architectures):
            values = metrics(architecture)
            ends = {3: Standing.INFEASIBLE, 4: Standing.STOPPED, 5: Standing.FAILED}
            standing = ends.get(place % 6, Standing.COMPLETED)
            if standing is Standing.INFEASIBLE:
                values = {"latency_p50": 0.005, "parameters": values["parameters"]}
            if standing is Standing.FAILED:
                values = {}
            variances = {"accuracy": 1e-4} if standing is Standing.STOPPED else {}
            trials.append(
                StrategyTrial(architecture=architecture, standing=standing, metrics=values, variances=variances)
            )
        return trials

    return made
