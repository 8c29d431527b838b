"""What `ParetoStrategy` adds to the contract of all strategies."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest

from optimization import surrogate
from optimization.feasibility import labels
from optimization.features import Features
from optimization.observations import observe
from optimization.pareto_strategy import ParetoStrategy
from optimization.sobol import SobolStrategy
from optimization.strategy import Standing, StrategyTrial
from optimization.values import Constraint, Direction, Objective
from search_space import Choice, IntegerRange, SearchSpace, cost, preset


def completed(architectures, metrics) -> list[StrategyTrial]:
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics(shape))
        for shape in architectures
    ]


def shapes(suggestions) -> list:
    return [suggestion.architecture for suggestion in suggestions]


@dataclass(frozen=True)
class Known:
    """A predictor that knows the latencies up to a deviation of their logarithm, all too high by a factor."""

    metrics: object
    deviation: float
    factor: float = 1.0

    def predict(self, space):
        rows = [self.metrics(space.architecture(row))["latency_p50"] * self.factor for row in range(space.size)]
        return np.log(rows), np.full(space.size, self.deviation)


@pytest.fixture
def trials(study, metrics) -> list[StrategyTrial]:
    return completed(study.space.sample(12, np.random.default_rng(2)), metrics)


def test_starts_with_the_sobol_sequence(study, metrics):
    begun = completed(shapes(SobolStrategy().suggest(study, [], 4)), metrics)
    assert ParetoStrategy().suggest(study, begun, 1) == SobolStrategy().suggest(study, [], 5)[4:]


def test_starts_within_what_is_known_or_predicted_to_be_feasible(study, metrics):
    bound = 0.0006  # met by one architecture of six
    tight = replace(study, constraints=(Constraint(metric="latency_p50", bound=bound),))
    informed = replace(tight, predictors={"latency_p50": Known(metrics, 0.02)})
    first = ParetoStrategy().suggest(informed, [], 5)
    assert all(metrics(shape)["latency_p50"] < 1.1 * bound for shape in shapes(first))
    assert {suggestion.strategy for suggestion in first} == {"sobol (of what is likely feasible)"}
    small = replace(study, constraints=(Constraint(metric="parameters", bound=100_000),))
    assert all(cost(shape).parameters <= 100_000 for shape in shapes(ParetoStrategy().suggest(small, [], 5)))


def test_a_start_that_finds_little_feasible_learns_where_to_look(study, metrics):
    bound = 0.0006
    tight = replace(study, constraints=(Constraint(metric="latency_p50", bound=bound),))
    slow = sorted(
        study.space.sample(study.space.size, np.random.default_rng(0)), key=lambda shape: metrics(shape)["latency_p50"]
    )[14::3]
    trials = [
        StrategyTrial(
            architecture=shape,
            standing=Standing.INFEASIBLE,
            metrics={"latency_p50": metrics(shape)["latency_p50"]},
        )
        for shape in slow
    ]
    found = shapes(ParetoStrategy().suggest(tight, trials, 4))
    blind = shapes(SobolStrategy().suggest(tight, trials, 4))

    def feasible(architectures) -> int:
        return sum(metrics(shape)["latency_p50"] <= bound for shape in architectures)

    assert feasible(found) >= 3 > feasible(blind)


def test_a_start_finds_the_few_that_are_predicted_to_be_feasible(study):
    """Of ten thousand architectures thirty are fast enough, which the next of the sequence are not among."""
    large = replace(
        study,
        space=SearchSpace(
            dimensions={
                "layers": IntegerRange(low=1, high=24),
                "hidden_size": Choice(values=tuple(range(64, 513, 64))),
                "heads": Choice(values=(4,)),
                "ffn_size": Choice(values=tuple(range(64, 3265, 64))),
            }
        ),
    )

    def measured(shape) -> dict[str, float]:
        return {"latency_p50": 1e-5 * shape.layers * (shape.hidden_size + shape.ffn_size)}

    bound = sorted(measured(large.space.architecture(row))["latency_p50"] for row in range(large.space.size))[30]
    tight = replace(
        large,
        constraints=(Constraint(metric="latency_p50", bound=bound),),
        predictors={"latency_p50": Known(measured, 0.01)},
    )
    suggestions = ParetoStrategy().suggest(tight, [], 4)
    assert sum(measured(shape)["latency_p50"] <= 1.02 * bound for shape in shapes(suggestions)) >= 3


def test_a_start_whose_model_takes_too_long_says_so(study):
    infeasible = [StrategyTrial(architecture=study.space.architecture(0), standing=Standing.INFEASIBLE)]
    seconds = iter(range(0, 10_000, 7))
    strategy = ParetoStrategy(deadline_s=5.0, clock=lambda: float(next(seconds)))
    (suggestion,) = strategy.suggest(study, infeasible, 1)
    assert suggestion.fallback == "not ready within 5 s"
    assert suggestion.strategy == "sobol (pareto: not ready within 5 s)"


def test_predicts_what_the_trials_show_and_says_from_how_many(study, trials, metrics):
    (suggestion,) = ParetoStrategy().suggest(study, trials, 1)
    assert suggestion.strategy == "pareto"
    truth = metrics(suggestion.architecture)
    assert suggestion.predicted["accuracy"] == pytest.approx(truth["accuracy"], abs=0.02)  # of a range of 0.16
    assert suggestion.predicted["latency_p50"] == pytest.approx(truth["latency_p50"], rel=0.15)
    assert suggestion.predicted["parameters"] == cost(suggestion.architecture).parameters
    assert suggestion.observations == {"accuracy": 12, "latency_p50": 12}
    assert math.isfinite(suggestion.acquisition)
    assert suggestion.seconds > 0


def test_finds_the_front_of_a_small_space(study, metrics):
    from optimization.front import front, hypervolume

    rows = [metrics(study.space.architecture(row)) for row in range(study.space.size)]
    feasible = [row for row in rows if row["latency_p50"] <= 0.004]
    reference = {"accuracy": 0.4, "latency_p50": 0.004}
    most = hypervolume(study.objectives, [feasible[place] for place in front(study.objectives, feasible)], reference)
    found: list[StrategyTrial] = []
    while len(found) < 16:
        found += completed(shapes(ParetoStrategy().suggest(study, found, 1)), metrics)
    reached = [trial.metrics for trial in found if trial.metrics["latency_p50"] <= 0.004]
    assert hypervolume(study.objectives, reached, reference) > 0.97 * most


def test_what_a_process_remembers_of_its_fits_changes_nothing(study, trials, metrics):
    """As after a restart in mid-study."""
    from optimization import surrogate

    more = [*trials, *completed([study.space.architecture(row) for row in (3, 17, 30)], metrics)]
    ParetoStrategy().suggest(study, trials, 1)
    here = ParetoStrategy().suggest(study, more, 2)
    surrogate._fits.clear()
    assert ParetoStrategy().suggest(study, more, 2) == here


def test_one_fit_serves_the_suggestions_until_there_are_a_tenth_more_trials(study, metrics):
    tried = completed(study.space.sample(33, np.random.default_rng(4)), metrics)
    noise = [replace(trial, variances={"latency_p50": 1e-9 * (1 + place)}) for place, trial in enumerate(tried)]
    surrogate._fits.clear()
    ParetoStrategy().suggest(study, noise[:29], 1)
    fitted = set(surrogate._fits)
    assert len(fitted) == 2
    ParetoStrategy().suggest(study, noise[:30], 1)
    assert set(surrogate._fits) == fitted
    ParetoStrategy().suggest(study, noise, 1)
    assert len(surrogate._fits) == 4


@pytest.mark.parametrize("many", [24, 400])
def test_values_of_full_fidelity_count_however_many_others_there_are(study, metrics, many):
    """Three finalists, a tenth higher than their flash value: what is believed is the full value, as surely."""
    shapes_tried = study.space.sample(min(many, study.space.size), np.random.default_rng(6))
    again = [shapes_tried[place % len(shapes_tried)] for place in range(many)]
    trials = completed(again, metrics)
    rows = [7, 8, 9]
    for place in rows:
        value = trials[place].metrics["accuracy"]
        trials[place] = replace(trials[place], full={"accuracy": value + 0.1})
    observed = observe(study, trials, "accuracy")
    model = surrogate.GaussianProcess(Features(study.space), observed, seed=study.seed)
    assert float(model.values.std(correction=0)) == pytest.approx(1.0, abs=0.1)
    believed = model.belief(np.array([study.space.index(trials[place].architecture) for place in rows])).mean
    expected = [trials[place].full["accuracy"] for place in rows]
    assert believed.tolist() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("many", [24, 300])
def test_finalists_that_are_all_alike_do_not_flatten_what_is_believed_of_the_others(study, metrics, many):
    """The three best are distilled in full, where they gain a little; all others are known at flash alone."""
    space = replace(
        study.space, dimensions={**study.space.dimensions, "ffn_size": IntegerRange(low=64, high=512, step=16)}
    )
    trials = completed(space.sample(many, np.random.default_rng(6)), metrics)
    best = sorted(range(many), key=lambda place: trials[place].metrics["accuracy"])[-3:]
    for place in best:
        trials[place] = replace(trials[place], full={"accuracy": trials[place].metrics["accuracy"] + 0.02})
    model = surrogate.GaussianProcess(
        Features(space), observe(replace(study, space=space), trials, "accuracy"), seed=study.seed
    )
    rows = np.arange(0, space.size, 7)
    expected = [metrics(space.architecture(int(row)))["accuracy"] + 0.02 for row in rows]
    believed = model.belief(rows).mean.numpy()
    assert np.polyfit(expected, believed, 1)[0] == pytest.approx(1.0, abs=0.1)
    assert float(np.mean(believed - expected)) == pytest.approx(0.0, abs=0.005)


def test_units_of_the_metrics_change_nothing(study, trials):
    scaled = [
        replace(
            trial,
            metrics={
                "accuracy": 100 * trial.metrics["accuracy"],
                "latency_p50": 1000 * trial.metrics["latency_p50"],
                "parameters": trial.metrics["parameters"],
            },
        )
        for trial in trials
    ]
    bounds = (replace(study.constraints[0], bound=4.0), study.constraints[1])
    (here,) = ParetoStrategy().suggest(study, trials, 1)
    (there,) = ParetoStrategy().suggest(replace(study, constraints=bounds), scaled, 1)
    assert here.architecture == there.architecture
    assert there.predicted["latency_p50"] == pytest.approx(1000 * here.predicted["latency_p50"], rel=1e-3)


def test_values_before_and_after_a_choice_are_of_the_same_samples(study, trials):
    """Else those that are not looked at again would be no bounds."""
    import torch

    from optimization.deadline import Deadline
    from optimization.pareto_model import ParetoModel
    from optimization.pareto_search import Search

    deadline = Deadline(math.inf)
    search = Search(study, trials, ParetoModel(study, trials, deadline), deadline)
    rows = np.arange(20)
    with torch.no_grad():
        alone, in_batch = search._seen(rows), search._seen(rows, 16)
        assert alone.values(rows).tolist() == in_batch.values(rows).tolist()
        # Nor are the samples of two points alike; in a Sobol sequence of 64 they correlate by up to 0.7.
        drawn = in_batch.base.reshape(-1, in_batch.base.shape[1], in_batch.base.shape[2]).transpose(0, 1).flatten(1)
    correlated = np.corrcoef(drawn.numpy().T) - np.eye(drawn.shape[1])
    assert np.abs(correlated).max() < 0.8


@pytest.mark.parametrize("scale", [1e-15, 1e-9, 1e12])
def test_a_metric_may_be_of_any_size(study, trials, scale):
    """Where it is not modelled by its logarithm."""
    scaled = [
        replace(trial, metrics=trial.metrics | {"accuracy": scale * trial.metrics["accuracy"]}) for trial in trials
    ]
    here = ParetoStrategy().suggest(study, trials, 2)
    there = ParetoStrategy().suggest(study, scaled, 2)
    assert shapes(here) == shapes(there)
    for one, other in zip(here, there, strict=True):
        assert other.acquisition == pytest.approx(one.acquisition + math.log(scale), abs=1e-6)
        assert other.deviations["accuracy"] == pytest.approx(scale * one.deviations["accuracy"], rel=1e-6)


def test_values_that_differ_by_rounding_alone_are_alike(study, trials):
    """0.1 is no sum of powers of two: the mean of twelve of it is another number."""

    def suggested(value):
        alike = [replace(trial, metrics=trial.metrics | {"accuracy": value}) for trial in trials]
        return ParetoStrategy().suggest(study, alike, 1)[0]

    halves, tenths = suggested(0.5), suggested(0.1)
    assert halves.architecture == tenths.architecture
    assert tenths.deviations["accuracy"] == pytest.approx(halves.deviations["accuracy"] / 5, rel=1e-6)


def test_a_pending_trial_changes_what_is_suggested(study, trials):
    (first,) = ParetoStrategy().suggest(study, trials, 1)
    pending = StrategyTrial(architecture=first.architecture, standing=Standing.PENDING)
    (second,) = ParetoStrategy().suggest(study, [*trials, pending], 1)
    assert second.architecture != first.architecture
    one_after_the_other = ParetoStrategy().suggest(study, trials, 2)
    assert shapes(one_after_the_other)[0] == first.architecture
    # What is next to a pending trial promises less than before.
    assert one_after_the_other[1].acquisition < first.acquisition


def test_latencies_of_unfinished_trials_are_learned_from(study, trials, metrics):
    tried = {trial.architecture for trial in trials}
    others = [shape for shape in study.space.sample(40, np.random.default_rng(7)) if shape not in tried][:3]
    early = [
        StrategyTrial(architecture=shape, standing=standing, metrics={"latency_p50": metrics(shape)["latency_p50"]})
        for shape, standing in zip(others, (Standing.PENDING, Standing.INFEASIBLE, Standing.FAILED), strict=True)
    ]
    (suggestion,) = ParetoStrategy().suggest(study, [*trials, *early], 1)
    assert suggestion.observations == {"accuracy": 12, "latency_p50": 15}


def test_what_is_known_to_break_a_bound_comes_last(study, metrics):
    limit = float(np.median([cost(study.space.architecture(row)).flops for row in range(study.space.size)]))
    bounded = replace(study, constraints=(Constraint(metric="flops", bound=limit),))
    begun = completed(study.space.sample(8, np.random.default_rng(0)), metrics)
    inside = sum(cost(study.space.architecture(row)).flops <= limit for row in range(study.space.size))
    left = inside - sum(cost(trial.architecture).flops <= limit for trial in begun)
    suggestions = ParetoStrategy().suggest(bounded, begun, left - 1)
    assert {suggestion.strategy for suggestion in suggestions} == {"pareto"}
    assert all(cost(shape).flops <= limit for shape in shapes(suggestions))
    last = shapes(ParetoStrategy().suggest(bounded, begun, left + 2))
    assert len({shape.key for shape in last}) == left + 2
    assert [cost(shape).flops <= limit for shape in last] == [True] * left + [False] * 2


def test_a_bound_that_little_of_a_large_space_meets_is_kept(study):
    """Looking at all of such a space at once would take all memory there is."""
    large = SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=24),
            "hidden_size": Choice(values=tuple(range(64, 1025, 64))),
            "heads": Choice(values=(4,)),
            "ffn_size": Choice(values=tuple(range(64, 4097, 64))),
        }
    )
    flops = np.sort(large.take(np.arange(large.size))["flops"])
    bound = float(flops[-40])

    def measured(shape) -> dict[str, float]:
        return {"accuracy": 0.5 + 0.01 * shape.layers, "latency_p50": 1e-12 * cost(shape).flops}

    most = replace(study, space=large, constraints=(Constraint(metric="flops", bound=bound, at_least=True),))
    begun = completed(large.sample(12, np.random.default_rng(0)), measured)
    suggestions = ParetoStrategy().suggest(most, begun, 3)
    assert {suggestion.strategy for suggestion in suggestions} == {"pareto"}
    assert all(cost(shape).flops >= bound for shape in shapes(suggestions))


def test_what_nobody_can_meet_ends_in_no_duplicates(study, trials):
    """A positive metric that must be negative: no architecture is feasible, and none better than another."""
    known = [replace(trial, metrics=trial.metrics | {"energy_j": 1.0 + place}) for place, trial in enumerate(trials)]
    impossible = replace(study, constraints=(Constraint(metric="energy_j", bound=-1.0),))
    found = ParetoStrategy().suggest(impossible, known, 4)
    assert len({shape.key for shape in shapes(found)}) == 4
    assert all(math.isfinite(suggestion.acquisition) for suggestion in found)


def test_an_acquisition_that_is_no_number_is_no_choice(study, trials):
    (suggestion,) = ParetoStrategy().suggest(
        replace(study, reference={"accuracy": math.nan, "latency_p50": 0.004}), trials, 1
    )
    assert suggestion.fallback == "ArithmeticError: the acquisition is not a finite number"


def test_a_predicted_latency_needs_no_measurement(study, trials, metrics):
    unmeasured = [
        replace(trial, metrics={name: value for name, value in trial.metrics.items() if name == "accuracy"})
        if place % 2
        else trial
        for place, trial in enumerate(trials)
    ]
    for deviation in (0.0, 0.02):
        informed = replace(study, predictors={"latency_p50": Known(metrics, deviation)})
        (suggestion,) = ParetoStrategy().suggest(informed, unmeasured, 1)
        assert suggestion.strategy == "pareto"
        truth = metrics(suggestion.architecture)["latency_p50"]
        assert suggestion.predicted["latency_p50"] == pytest.approx(truth, rel=1e-3)


def test_a_predictor_that_is_far_off_is_corrected(study, trials, metrics):
    misled = replace(study, predictors={"latency_p50": Known(metrics, 0.02, factor=2.0)})
    (suggestion,) = ParetoStrategy().suggest(misled, trials, 1)
    truth = metrics(suggestion.architecture)["latency_p50"]
    assert suggestion.predicted["latency_p50"] == pytest.approx(truth, rel=0.5)
    assert suggestion.predicted["latency_p50"] < 1.8 * truth


def test_stays_away_from_where_trials_ran_out_of_memory(study, metrics):
    """Infeasible without breaking a bound: all of the widest."""
    tried = study.space.sample(20, np.random.default_rng(1))
    trials = [
        StrategyTrial(architecture=shape, standing=Standing.INFEASIBLE)
        if shape.hidden_size == 96
        else completed([shape], metrics)[0]
        for shape in tried
    ]
    assert sum(trial.standing is Standing.INFEASIBLE for trial in trials) >= 4
    suggestions = ParetoStrategy().suggest(study, trials, 5)
    assert {suggestion.strategy for suggestion in suggestions} == {"pareto"}
    assert all(shape.hidden_size < 96 for shape in shapes(suggestions))
    ignorant = [trial for trial in trials if trial.standing is Standing.COMPLETED]
    assert any(shape.hidden_size == 96 for shape in shapes(ParetoStrategy().suggest(study, ignorant, 5)))


@pytest.mark.parametrize("many", [1, 3])
def test_one_or_three_objectives(study, trials, metrics, many):
    size = Objective(metric="parameters", direction=Direction.MINIMIZE)
    objectives = (*study.objectives, size)[:many]
    suggestions = ParetoStrategy().suggest(replace(study, objectives=objectives), trials, 2)
    assert {suggestion.strategy for suggestion in suggestions} == {"pareto"}
    assert len({shape.key for shape in shapes(suggestions)}) == 2


def test_values_that_tell_nothing_are_no_obstacle(study, trials):
    def suggested(changed, study=study):
        (suggestion,) = ParetoStrategy().suggest(study, changed, 1)
        return suggestion.strategy

    def with_accuracy(value, where) -> list[StrategyTrial]:
        return [
            replace(trial, metrics=trial.metrics | {"accuracy": value}) if where(place) else trial
            for place, trial in enumerate(trials)
        ]

    assert suggested(with_accuracy(0.5, lambda place: True)) == "pareto"
    assert suggested(with_accuracy(math.nan, lambda place: place in (1, 4))) == "pareto"
    assert suggested(with_accuracy(math.nan, lambda place: place > 0)) == "sobol"
    unknown = replace(study, constraints=(Constraint(metric="energy_j", bound=1.0),))
    assert suggested(trials, unknown) == "pareto"


def test_noise_that_the_trials_tell_is_believed(study, trials):
    """An outlier with a large variance moves no prediction; without a variance it does."""
    high = trials[0].metrics | {"accuracy": 3.0}
    known = [replace(trial, variances={"accuracy": 1e-6}) for trial in trials]
    expected = ParetoStrategy().suggest(study, known, 1)[0].predicted["accuracy"]
    noisy = [replace(known[0], metrics=high, variances={"accuracy": 100.0}), *known[1:]]
    assert ParetoStrategy().suggest(study, noisy, 1)[0].predicted["accuracy"] == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("metric", ["accuracy", "latency_p50"])
def test_noise_without_end_is_a_value_that_tells_nothing(study, trials, metric):
    noisy = [replace(trials[0], variances={metric: 1.7e308}), *trials[1:]]
    (suggestion,) = ParetoStrategy().suggest(study, noisy, 1)
    assert suggestion.strategy == "pareto"
    everywhere = np.arange(study.space.size)
    believed, expected = (
        surrogate.GaussianProcess(Features(study.space), observe(study, known, metric), seed=study.seed)
        .belief(everywhere)
        .mean.numpy()
        for known in (noisy, trials[1:])
    )
    assert np.abs(believed - expected).max() < 0.1 * np.std(expected)


def test_values_near_zero_have_logarithms_too(study, trials):
    """Whose squares are 0."""
    tiny = [
        replace(trial, metrics=trial.metrics | {"latency_p50": 1e-297 * trial.metrics["latency_p50"]})
        for trial in trials
    ]
    told = [replace(trial, variances={"latency_p50": 0.0, "accuracy": 1e-6}) for trial in tiny]
    (suggestion,) = ParetoStrategy().suggest(replace(study, constraints=()), told, 1)
    assert suggestion.strategy == "pareto"


def test_a_fit_that_fails_can_begin_again_elsewhere():
    """BoTorch draws all that has a prior, and has to be able to set it."""
    import torch

    from optimization.quiet import quiet
    from optimization.surrogate import _unfitted

    with quiet():
        from botorch.optim.utils import sample_all_priors

    points = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points[:, -1] = (points[:, -1] > 0.5).double()
    for two in (False, True):
        with quiet():
            model = _unfitted(points, points[:, :1], torch.full((6,), 1e-4).double(), two)
            before = float(model.likelihood.second_noise_covar.noise)
            sample_all_priors(model)
        assert float(model.likelihood.second_noise_covar.noise) != before


@pytest.mark.parametrize("many", [1, 2])
def test_a_thousand_trials_are_modelled_in_time(study, metrics, many):
    large = replace(study, space=preset("bert"), objectives=study.objectives[:many])
    rows = np.random.default_rng(0).choice(large.space.size, size=1000, replace=False)
    thousand = completed([large.space.architecture(int(row)) for row in rows], metrics)
    found = ParetoStrategy().suggest(large, thousand, 2)
    assert {suggestion.strategy for suggestion in found} == {"pareto"}
    assert {suggestion.observations["accuracy"] for suggestion in found} == {1000}
    assert not {trial.architecture for trial in thousand} & set(shapes(found))


def test_after_its_deadline_it_makes_a_cheaper_choice_and_says_so(study, trials):
    seconds = iter(range(0, 10_000, 7))
    suggestions = ParetoStrategy(deadline_s=5.0, clock=lambda: float(next(seconds))).suggest(study, trials, 2)
    assert len({shape.key for shape in shapes(suggestions)}) == 2
    assert not {trial.architecture for trial in trials} & set(shapes(suggestions))
    assert all(
        suggestion.strategy.endswith("(pareto: not ready within 5 s)") and suggestion.seconds > 5
        for suggestion in suggestions
    )


def test_when_the_model_fails_the_suggestion_says_why(study, trials):
    beyond = [
        replace(trial, metrics=trial.metrics | {"accuracy": 1e308 * (-1) ** place})
        for place, trial in enumerate(trials)
    ]
    (suggestion,) = ParetoStrategy().suggest(study, beyond, 1)
    assert "(pareto: " in suggestion.strategy
    assert suggestion.architecture in study.space


def test_says_nothing_and_leaves_logging_warnings_and_threads_as_they_were(study, trials, capfd, caplog):
    import torch

    before = (list(warnings.filters), logging.root.manager.disable, torch.get_num_threads())
    ParetoStrategy().suggest(study, trials, 1)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert (list(warnings.filters), logging.root.manager.disable, torch.get_num_threads()) == before


def test_what_broke_a_bound_as_it_was_measured_is_not_taken_for_too_large(study, trials, metrics):
    """At one pace of the machine its latency looks as if it met the bound."""
    broke = StrategyTrial(
        architecture=trials[0].architecture,
        standing=Standing.INFEASIBLE,
        metrics={**metrics(trials[0].architecture), "latency_p50": 0.0039},
    )
    assert labels(study, [broke, *trials[1:]]) is not None
    assert labels(study, [replace(broke, broke_bound=True), *trials[1:]]) is None


def test_more_at_once_than_a_pool_holds_are_all_different(study, trials):
    space = replace(
        study.space, dimensions={**study.space.dimensions, "ffn_size": IntegerRange(low=64, high=4096, step=16)}
    )
    found = ParetoStrategy(deadline_s=2.0).suggest(replace(study, space=space), trials, 1200)
    assert len({shape.key for shape in shapes(found)}) == 1200


@pytest.mark.slow  # of every strategy in a small space: test_strategies.py
def test_no_duplicates_until_a_space_of_576_ends(study):
    space = preset("autodistill")

    def measured(shape) -> dict[str, float]:
        size = shape.layers * shape.hidden_size * shape.ffn_size * shape.ffn_stacks
        return {"accuracy": 0.9 - 30.0 / size**0.25, "latency_p50": 1e-11 * size + 1e-5 * shape.heads}

    whole = replace(study, space=space, constraints=())
    trials: list[StrategyTrial] = []
    names = set()
    strategy = ParetoStrategy(deadline_s=math.inf)
    while found := strategy.suggest(whole, trials, 72):
        names |= {suggestion.strategy for suggestion in found}
        trials += completed(shapes(found), measured)
    assert len(trials) == len({trial.architecture.key for trial in trials}) == 576
    assert names == {"sobol", "pareto"}


def test_neither_botorch_nor_torch_is_imported_before_it_is_needed():
    code = (
        "import sys\n"
        "from optimization.registry import strategy\n"
        "strategy('pareto'), strategy('evolution')\n"
        "assert not {'torch', 'botorch', 'gpytorch', 'ax'} & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
