from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from optimization.finalists import finalists, greedy
from optimization.front import choose_finalists, infer_reference
from optimization.strategy import Standing, StrategyTrial


def completed(architectures, metrics) -> list[StrategyTrial]:
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
        for shape in architectures
    ]


def cells(points) -> int:
    """Unit cells between the origin and the points, counted one by one."""
    return sum(any(x < p[0] and y < p[1] for p in points) for x, y in itertools.product(range(8), repeat=2))


def test_each_choice_adds_the_most_in_the_mean_over_samples():
    gains = np.random.default_rng(0).integers(0, 8, size=(5, 6, 2)).astype(float)
    chosen = greedy(gains, np.zeros(2), 3)
    assert len(set(chosen)) == 3
    for place, point in enumerate(chosen):

        def mean(other, before=tuple(chosen[:place])) -> float:
            return float(np.mean([cells(sample[[*before, other]]) for sample in gains]))

        assert mean(point) == max(mean(other) for other in range(6) if other not in chosen[:place])


def test_what_would_add_nothing_is_no_finalist():
    gains = np.array([[[4.0, 4.0], [2.0, 2.0], [4.0, 4.0]]])
    assert greedy(gains, np.zeros(2), 3) == [0]


def test_a_lucky_evaluation_is_not_believed(study, metrics):
    """One of the slow and poor gets the best accuracy by chance, as its variance tells."""
    trials = completed(study.space.sample(24, np.random.default_rng(3)), metrics)
    trials = [replace(trial, variances={"accuracy": 1e-6}) for trial in trials]
    poor = min(range(24), key=lambda place: trials[place].metrics["accuracy"])
    lucky = trials[poor].metrics | {"accuracy": max(trial.metrics["accuracy"] for trial in trials) + 0.02}
    trials[poor] = replace(trials[poor], metrics=lucky, variances={"accuracy": 0.2**2})
    reference = infer_reference(study.objectives, [trial.metrics for trial in trials])
    by_evaluation = choose_finalists(study.objectives, [trial.metrics for trial in trials], 2, reference)
    assert poor in by_evaluation
    chosen = finalists(replace(study, reference=reference), trials, 2).places
    assert len(chosen) == 2
    assert poor not in chosen


def test_only_completed_trials_are_finalists(study, metrics):
    trials = completed(study.space.sample(14, np.random.default_rng(4)), metrics)
    for place, standing in ((2, Standing.PENDING), (5, Standing.INFEASIBLE), (7, Standing.FAILED)):
        trials[place] = replace(trials[place], standing=standing, metrics={})
    chosen = finalists(study, trials, 14).places
    assert chosen
    assert {trials[place].standing for place in chosen} == {Standing.COMPLETED}
    assert finalists(study, trials, 0).places == ()
    assert finalists(study, [trials[2]], 3).places == ()


@pytest.mark.parametrize("many", [1, 4])
def test_few_trials_are_judged_by_their_evaluations(study, metrics, many):
    trials = completed(study.space.sample(many, np.random.default_rng(5)), metrics)
    rows = [trial.metrics for trial in trials]
    expected = choose_finalists(study.objectives, rows, 2, infer_reference(study.objectives, rows))
    chosen = finalists(study, trials, 2)
    assert list(chosen.places) == expected
    assert chosen.without_model == f"{many} completed trials of the search space are too few for a model"


def test_when_the_model_fails_the_evaluations_decide(study, metrics):
    trials = completed(study.space.sample(8, np.random.default_rng(6)), metrics)
    trials[0] = replace(trials[0], metrics=trials[0].metrics | {"accuracy": 1e200})
    chosen = finalists(study, trials, 2)
    assert 0 in chosen.places
    assert chosen.without_model == "their model failed (ArithmeticError)"


def test_full_fidelity_corrects_what_flash_ranked_wrongly(study, metrics):
    """Flash says that shallow is better; the trials that were distilled in full say that it is not."""
    shapes = study.space.sample(20, np.random.default_rng(7))
    trials = [
        replace(trial, metrics=trial.metrics | {"accuracy": 0.9 - 0.05 * trial.architecture.layers})
        for trial in completed(shapes, lambda shape: metrics(shape) | {"latency_p50": 0.002 + 1e-6 * shape.hidden_size})
    ]
    full = [
        replace(trial, full={"accuracy": 0.7 + 0.06 * trial.architecture.layers}) if place < 8 else trial
        for place, trial in enumerate(trials)
    ]
    assert trials[finalists(study, trials, 1).places[0]].architecture.layers == min(shape.layers for shape in shapes)
    assert full[finalists(study, full, 1).places[0]].architecture.layers == max(shape.layers for shape in shapes)


def test_a_baseline_outside_the_space_is_eligible(study, metrics):
    """Of two, one is better than all of the space, the other worse; no model tells of either."""
    trials = completed(study.space.sample(16, np.random.default_rng(8)), metrics)
    best = max(trials, key=lambda trial: trial.metrics["accuracy"])
    deep = replace(best.architecture, layers=9)
    assert deep not in study.space
    good = replace(best, architecture=deep, metrics=best.metrics | {"accuracy": 0.95, "latency_p50": 1e-3})
    poor = replace(best, architecture=replace(deep, layers=10), metrics=best.metrics | {"accuracy": 0.01})
    chosen = finalists(study, [*trials, good, poor], 3)
    assert chosen.without_model is None
    assert chosen.places[0] == 16
    assert 17 not in chosen.places
