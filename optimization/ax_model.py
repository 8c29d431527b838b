"""What Ax is told and what it answers. Importing this module imports Ax and torch, which takes some seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimization.coordinates import Coordinates, Points
from optimization.quiet import quiet
from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.values import Constraint, Direction

with quiet():
    import botorch.acquisition.multi_objective.logei as logei
    import torch
    from ax.adapter.registry import Generators
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig
    from ax.generation_strategy.generation_node import GenerationNode
    from ax.generation_strategy.generation_strategy import GenerationStrategy
    from ax.generation_strategy.generator_spec import GeneratorSpec

# At its first use BoTorch would compile a C++ kernel into the user's cache, while latencies are being measured; and if
# that process is killed, its lock file hangs every later one (docs/adr/0004).
logei._load_attempted = True

OPTIMISER = {"num_restarts": 8, "raw_samples": 256}
"""Effort of the search for the best acquisition value: less than Ax's own 20 and 1024, since what is found moves to the
nearest valid architecture anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A row of the space, with the posterior mean and standard deviation of every modelled metric there."""

    row: int
    predicted: Mapping[str, float]
    deviations: Mapping[str, float]


def propose(
    study: StrategyStudy,
    coordinates: Coordinates,
    trials: Sequence[StrategyTrial],
    count: int,
    free: npt.NDArray[np.bool_],
) -> list[Proposal]:
    """`count` distinct rows that are `free`, of which there are more than that.

    Raises:
        Exception: whatever Ax, BoTorch or torch raise.
    """
    with quiet():
        constraints = _modelled(study, trials)
        metrics = _metrics(study, trials, constraints)
        client = _client(study, coordinates, metrics, constraints, seed=_seed(study, trials))
        for trial in trials:
            row = study.space.index(trial.architecture)
            if row is not None:
                _attach(client, coordinates, row, metrics.values(), trial)
        wanted = client.get_next_trials(max_trials=count).values()
        points = [np.array([float(point[name]) for name in coordinates.names]) for point in wanted]
        rows = _distinct_rows(coordinates, points, free)
        beliefs = client.predict([_parameters(coordinates, row) for row in rows])
    return [
        Proposal(
            row=row,
            predicted={name: float(belief[metric.alias][0]) for name, metric in metrics.items()},
            deviations={name: float(belief[metric.alias][1]) for name, metric in metrics.items()},
        )
        for row, belief in zip(rows, beliefs, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    """A metric that Ax models. `alias` is its name there, where names are parsed as expressions."""

    name: str
    alias: str
    with_variance: bool

    def observation(self, trial: StrategyTrial) -> float | tuple[float, float]:
        """The value, with its standard error where all trials have one."""
        value = float(trial.metrics[self.name])
        return (value, math.sqrt(trial.variances[self.name])) if self.with_variance else value

    def inequality(self, constraint: Constraint) -> str:
        return f"{self.alias} {'>=' if constraint.at_least else '<='} {float(constraint.bound)!r}"


def _client(
    study: StrategyStudy,
    coordinates: Coordinates,
    metrics: Mapping[str, _Metric],
    constraints: Sequence[Constraint],
    seed: int,
) -> Client:
    client = Client(random_seed=seed)
    client.configure_experiment(
        parameters=[
            RangeParameterConfig(name=name, bounds=(0.0, 1.0), parameter_type="float") for name in coordinates.names
        ]
    )
    signs = {Direction.MAXIMIZE: "", Direction.MINIMIZE: "-"}
    client.configure_optimization(
        objective=", ".join(signs[o.direction] + metrics[o.metric].alias for o in study.objectives),
        outcome_constraints=[metrics[constraint.metric].inequality(constraint) for constraint in constraints],
    )
    client.set_generation_strategy(
        GenerationStrategy(
            name="model",
            nodes=[
                GenerationNode(
                    name="model",
                    generator_specs=[
                        GeneratorSpec(
                            generator_enum=Generators.BOTORCH_MODULAR,
                            generator_kwargs={"torch_device": torch.device("cpu")},
                            generator_gen_kwargs={"model_gen_options": {"optimizer_kwargs": OPTIMISER}},
                        )
                    ],
                    should_deduplicate=False,  # done here, where a duplicate costs no second optimisation
                    fallback_specs={},
                )
            ],
        )
    )
    return client


def _attach(
    client: Client, coordinates: Coordinates, row: int, metrics: Iterable[_Metric], trial: StrategyTrial
) -> None:
    index = client.attach_trial(_parameters(coordinates, row))
    if trial.standing is Standing.FAILED:
        client.mark_trial_abandoned(index)  # keeps Ax from counting on this point
        return
    observed = {metric.alias: metric.observation(trial) for metric in metrics if _has(trial, metric.name)}
    if observed:
        client.attach_data(index, observed)
    if trial.standing is not Standing.PENDING:
        client.complete_trial(index)


def _metrics(
    study: StrategyStudy, trials: Sequence[StrategyTrial], constraints: Sequence[Constraint]
) -> dict[str, _Metric]:
    names = dict.fromkeys([*(o.metric for o in study.objectives), *(c.metric for c in constraints)])
    return {
        name: _Metric(
            name=name,
            alias=f"m{place}",
            with_variance=all(name in trial.variances for trial in trials if _has(trial, name)),
        )
        for place, name in enumerate(names)
    }


def _modelled(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> list[Constraint]:
    """The constraints that Ax is to know: of those that bound a metric on the same side, the tightest.

    Not those on parameters, which the space already keeps; on a metric that no trial has yet; or, which Ax refuses,
    on a lone objective or against an objective's own direction. A trial that breaks one of those still ends infeasible.
    """
    directions = {objective.metric: objective.direction for objective in study.objectives}

    def is_known(constraint: Constraint) -> bool:
        if constraint.metric in directions:
            raises = directions[constraint.metric] is Direction.MAXIMIZE
            return len(directions) > 1 and constraint.at_least == raises
        if constraint.metric == "parameters" and not constraint.at_least:
            return False
        return any(_has(trial, constraint.metric) for trial in trials)

    tightest: dict[tuple[str, bool], Constraint] = {}
    for constraint in sorted(study.constraints, key=lambda one: one.bound if one.at_least else -one.bound):
        if is_known(constraint):
            tightest[constraint.metric, constraint.at_least] = constraint
    return list(tightest.values())


def _distinct_rows(coordinates: Coordinates, points: Iterable[Points], free: npt.NDArray[np.bool_]) -> list[int]:
    left = free.copy()
    rows = []
    for point in points:
        row = coordinates.nearest(point, left)
        left[row] = False
        rows.append(row)
    return rows


def _parameters(coordinates: Coordinates, row: int) -> dict[str, float]:
    return dict(zip(coordinates.names, coordinates.points[row].tolist(), strict=True))


def _seed(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> int:
    return int(np.random.default_rng([study.seed, len(trials)]).integers(2**31))


def _has(trial: StrategyTrial, metric: str) -> bool:
    return math.isfinite(trial.metrics.get(metric, math.nan))
