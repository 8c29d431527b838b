"""Learning curves to replay: simulated, of a database, or recorded here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from cells.distillations import Cell, distilled, prepared
from cells.ledger import Ledger, Row
from cells.replays import Problem

from distillation.prepare import TEACHER
from distillation.teacher import read_teacher
from distillation.values import Fidelity
from encoders.build import architecture_of
from optimization.curves import Curve
from optimization.early_stopping import KnownTrial, Learnt
from optimization.registry import strategy
from optimization.strategy import StrategyStudy
from optimization.values import Direction, Objective
from protocol.metrics import metric_info
from protocol.study_file import load_study
from search_space import SearchSpace
from service.store.tables import Study
from service.store.unit_of_work import Store, UnitOfWork

SHARES = (0.25, 0.5, 0.75, 1.0)
"""As `distillation.trainer` evaluates."""
KINDS = ("alike", "noisy", "crossing", "jumping")
MORE = 3
"""How many times the budget's trials are simulated, for those who have steps left."""
ACCURACY = Objective(metric="accuracy", direction=Direction.MAXIMIZE)


def simulated(kind: str, budget: int, seed: int) -> Problem:
    """Sizes are uniform; latency grows with the exponent of size, and its noise is 1 %; what a trial ends at grows with
    size, ever less so, from 0.62 to 0.78, and differs by 0.02 between shapes of one size. All begin at 0.5.

    `alike`: exponential approach at rates that differ by 40 %, noise 0.004. `noisy`: with noise 0.012. `crossing`:
    larger ones learn slower, the smallest at rate 5, the largest at 1.8. `jumping`: nothing is learnt up to a random
    moment, and then nearly all; the larger, the sooner.
    """
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    count, shares = MORE * budget, np.array(SHARES)
    size = generator.uniform(0, 1, count)
    latency = 1e-3 * np.exp(2.2 * size + generator.normal(0, 0.25, count))
    ends = 0.62 + 0.16 * (1 - np.exp(-2.2 * size)) / (1 - np.exp(-2.2)) + generator.normal(0, 0.02, count)
    if kind == "jumping":
        moments = np.clip(0.9 * generator.beta(2, 3, count) - 0.15 * size, 0.02, 0.9)[:, None]
        risen = (0.85 + 0.15 * shares) / (1 + np.exp(-(shares - moments) / 0.05))
    else:
        rates = np.exp(generator.normal(1.3, 0.4, count))
        if kind == "crossing":
            rates = (5 - 3.2 * size) * np.exp(generator.normal(0, 0.3, count))
        risen = (1 - np.exp(-np.outer(rates, shares))) / (1 - np.exp(-rates))[:, None]
    noise = {"alike": 0.004, "noisy": 0.012, "crossing": 0.005, "jumping": 0.006}[kind]
    values = 0.5 + (ends - 0.5)[:, None] * risen + generator.normal(0, noise, risen.shape)
    seen = latency * np.exp(generator.normal(0, 0.01, count))
    return Problem(
        name=kind,
        objectives=(ACCURACY, Objective(metric="latency_p50", direction=Direction.MINIMIZE)),
        learnt=Learnt(metric="accuracy", direction=Direction.MAXIMIZE),
        trials=tuple(
            KnownTrial(
                metrics={"accuracy": float(row[-1]), "latency_p50": float(time)},
                variances={"accuracy": noise**2, "latency_p50": float(0.01 * time) ** 2},
                curve=Curve(shares=SHARES, values=tuple(map(float, row)), final=float(row[-1])),
            )
            for row, time in zip(values, seen, strict=True)
        ),
        budget=budget,
    )


def stored(url: str) -> list[Problem]:
    """The studies of a database that have enough completed trials, in the order in which these ended."""
    store = Store(url)
    try:
        with store.read() as uow:
            found = [_of_study(uow, study) for study in uow.studies.all()]
    finally:
        store.close()
    return [problem for problem in found if problem.budget > 1]


def _of_study(uow: UnitOfWork, study: Study) -> Problem:
    metric = str(study.spec.task.metric)
    direction = next(one.direction for one in study.spec.objectives if one.metric == metric)
    rows = {row.trial_id: row for row in uow.trials.evaluations(study.id) if row.fidelity is Fidelity.FLASH}
    trials = []
    for trial in sorted(uow.trials.of(study.id), key=lambda one: str(one.ended_at)):
        row = rows.get(trial.id)
        if row is None or any(objective.metric not in trial.metrics for objective in study.spec.objectives):
            continue
        curve = Curve(
            shares=tuple(point.step / row.steps for point in row.curve),
            values=tuple(point.value for point in row.curve),
            final=trial.metrics[metric],
        )
        trials.append(KnownTrial(metrics=trial.metrics, variances=trial.variances, curve=curve))
    return Problem(
        name=study.name,
        objectives=study.spec.objectives,
        learnt=Learnt(metric=metric, direction=direction, relative=metric_info(metric).unit != "share"),
        trials=tuple(trials),
        budget=len(trials),
    )


def recorded(folder: Path, *, trials: int, steps: int, processes: int) -> Problem:
    """Real flash distillations of the demo's space, of so many steps; made where they are not in the folder yet."""
    spec = load_study(Path(__file__).resolve().parents[2] / "examples" / "demo.yaml")
    if isinstance(spec.search_space, str):
        raise TypeError("the demo names its dimensions")
    recipe = replace(spec.distillation, steps=steps)
    place = prepared(folder, spec.task, spec.teacher, recipe)
    teacher = architecture_of(read_teacher(place / TEACHER).config)
    space = SearchSpace(
        dimensions=spec.search_space.dimensions,
        vocabulary_size=teacher.vocabulary_size,
        max_positions=teacher.max_positions,
    ).bounded(**spec.parameters_bound)
    study = StrategyStudy(space=space, objectives=spec.objectives, seed=0)
    cells = [
        Cell(folder=place, architecture=suggestion.architecture, recipe=recipe, seed=number)
        for number, suggestion in enumerate(strategy("sobol").suggest(study, [], trials))
    ]
    ledger = Ledger(folder / "results.jsonl")
    ledger.complete({cell.key: cell for cell in cells}, distilled, processes=processes, name="distillations")
    rows = [row for cell in cells if "diverged" not in (row := ledger[cell.key])]
    return Problem(
        name="docstrings",
        objectives=(ACCURACY, Objective(metric="parameters", direction=Direction.MINIMIZE)),
        learnt=Learnt(metric="accuracy", direction=Direction.MAXIMIZE),
        trials=tuple(map(_of_row, rows)),
        budget=len(rows),
    )


def shuffled(problem: Problem, orders: int) -> list[Problem]:
    """The same trials in so many orders; the first is their own."""
    return [problem] + [
        replace(problem, trials=tuple(problem.trials[place] for place in generator.permutation(len(problem.trials))))
        for generator in map(np.random.default_rng, range(1, orders))
    ]


def _of_row(row: Row) -> KnownTrial:
    selection, final = row["selection"], row["selection"]["value"]
    return KnownTrial(
        metrics={"accuracy": final, "parameters": float(row["parameters"])},
        variances={"accuracy": ((selection["high"] - selection["low"]) / (2 * 1.96)) ** 2},
        curve=Curve(
            shares=tuple(step / row["steps"] for step, _ in row["curve"]),
            values=tuple(value for _, value in row["curve"]),
            final=final,
        ),
    )
