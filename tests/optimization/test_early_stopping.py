"""Who is stopped: literal cases, and that nobody is whose end would be on the front."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimization.curves import Curve
from optimization.early_stopping import KnownTrial, Learnt, decide
from optimization.errors import OptimizationError
from optimization.front import front
from optimization.values import Constraint, Direction, Objective

ACCURACY = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
LATENCY = Objective(metric="latency_p50", direction=Direction.MINIMIZE)
PARAMETERS = Objective(metric="parameters", direction=Direction.MINIMIZE)
TWO, THREE = (ACCURACY, LATENCY), (ACCURACY, LATENCY, PARAMETERS)
LEARNT = Learnt(metric="accuracy", direction=Direction.MAXIMIZE)
HALF = (0.5, 1.0)


def ended(final, latency=5.0, gain=0.1, parameters=1e6, **variances):
    """Trials of 0.1 to gain from half the steps to the end."""
    metrics = {"accuracy": final, "latency_p50": latency, "parameters": parameters}
    return KnownTrial(
        metrics=metrics, variances=variances, curve=Curve(shares=HALF, values=(final - gain, final), final=final)
    )


def running(value, latency=5.0, parameters=1e6, **variances):
    metrics = {"latency_p50": latency, "parameters": parameters}
    return KnownTrial(metrics=metrics, variances=variances, curve=Curve(shares=HALF[:1], values=(value,)))


CURVES = [ended(0.6 + 0.02 * k, latency=9.0 - k, parameters=1e6) for k in range(9)]
"""From 0.60 at 9 s to 0.76 at 1 s: all gain 0.1."""


def judged(trial, completed=CURVES, objectives=TWO, constraints=(), curves=CURVES, learnt=LEARNT):
    return decide(objectives, constraints, learnt, completed, curves, trial)


def test_what_is_slower_and_will_be_worse_is_stopped():
    decision = judged(running(0.5, latency=2.5))
    assert decision.stops
    assert decision.expected == pytest.approx(0.6)
    assert decision.optimistic == pytest.approx(0.6)  # these curves all gain the same
    assert decision.dominated_by == 8  # the best of those that dominate it
    assert decision.curves == 9


def test_what_may_become_better_goes_on():
    assert not judged(running(0.7, latency=2.5)).stops


def test_what_is_faster_than_all_goes_on_however_bad_it_is():
    assert not judged(running(0.1, latency=0.5)).stops


def test_equal_latency_is_no_advantage():
    assert judged(running(0.5, latency=1.0)).dominated_by == 8


def test_equal_in_all_is_not_dominated():
    same = ended(0.76, latency=1.0)
    assert not judged(running(0.66, latency=1.0), completed=[same]).stops
    assert judged(running(0.66, latency=1.1), completed=[same]).stops


def test_latencies_that_noise_may_have_swapped_are_no_reason():
    noisy = {"latency_p50": 0.1**2}
    rival = [ended(0.76, latency=1.0, **noisy)]
    sure_at = 1.0 + 1.6449 * math.sqrt(2) * 0.1
    assert not judged(running(0.3, latency=sure_at - 0.01, **noisy), completed=rival).stops
    assert judged(running(0.3, latency=sure_at + 0.01, **noisy), completed=rival).stops
    assert not judged(running(0.3, latency=1.0, **noisy), completed=rival).stops


def test_all_other_objectives_must_be_no_worse():
    larger = [ended(0.76, latency=1.0, parameters=2e6)]
    assert judged(running(0.5, latency=2.0), completed=larger).stops
    assert not judged(running(0.5, latency=2.0), completed=larger, objectives=THREE).stops
    assert judged(running(0.5, latency=2.0, parameters=2e6), completed=larger, objectives=THREE).stops


def test_what_is_not_known_yet_may_save_it():
    trial = running(0.3, latency=9.0)
    assert judged(trial, objectives=THREE).stops
    unmeasured = replace(trial, metrics={"parameters": 1e6})
    assert judged(unmeasured, objectives=THREE) is None
    infinite = replace(trial, metrics={"parameters": 1e6, "latency_p50": math.nan})
    assert judged(infinite) is None


def test_a_rival_of_whom_something_is_not_known_dominates_nobody():
    blank = [replace(ended(0.76), metrics={"accuracy": 0.76})]
    assert not judged(running(0.3, latency=9.0), completed=blank).stops
    unlearnt = [replace(ended(0.76), metrics={"latency_p50": 1.0})]
    assert not judged(running(0.3, latency=9.0), completed=unlearnt).stops


def test_without_curves_nobody_is_stopped():
    trial = running(0.1, latency=9.0)
    assert judged(trial, curves=CURVES[:7]) is None
    assert judged(replace(trial, curve=None)) is None
    assert judged(trial, curves=[replace(one, curve=None) for one in CURVES]) is None


def test_a_bound_on_quality_that_cannot_be_met_is_reason_enough():
    bound = Constraint(metric="accuracy", bound=0.7, at_least=True)
    decision = judged(running(0.5, latency=0.1), constraints=[bound])
    assert (decision.broken, decision.dominated_by) == (bound, None)
    assert decision.stops
    assert not judged(running(0.65, latency=0.1), constraints=[bound]).stops
    upside_down = Constraint(metric="accuracy", bound=0.1)
    assert not judged(running(0.5, latency=0.1), constraints=[upside_down]).stops
    assert not judged(running(0.5, latency=0.1), constraints=[Constraint(metric="latency_p50", bound=0.01)]).stops


def test_less_perplexity_is_better_and_only_ratios_count():
    objectives = (Objective(metric="perplexity", direction=Direction.MINIMIZE), LATENCY)
    learnt = Learnt(metric="perplexity", direction=Direction.MINIMIZE, relative=True)

    def done(final, latency):
        metrics = {"perplexity": final, "latency_p50": latency}
        return KnownTrial(metrics=metrics, curve=Curve(shares=HALF, values=(3 * final, final), final=final))

    curves = [done(10.0 + k, 9.0 - k) for k in range(9)]
    slow = KnownTrial(metrics={"latency_p50": 8.5}, curve=Curve(shares=HALF[:1], values=(60.0,)))
    decision = decide(objectives, [], learnt, curves, curves, slow)
    assert decision.expected == pytest.approx(20.0)
    assert decision.stops
    better = replace(slow, curve=Curve(shares=HALF[:1], values=(15.0,)))
    assert not decide(objectives, [], learnt, curves, curves, better).stops
    bound = Constraint(metric="perplexity", bound=19.0)
    assert decide(objectives, [bound], learnt, [], curves, slow).broken == bound


def test_a_metric_that_is_no_objective_is_a_mistake():
    with pytest.raises(OptimizationError, match="none of the objectives"):
        judged(running(0.5), objectives=(LATENCY, PARAMETERS))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), points=st.integers(1, 3), objectives=st.sampled_from([TWO, THREE]))
def test_nobody_is_stopped_whose_end_would_be_on_the_front(seed, points, objectives):
    """Curves of one law without noise: what half of a curve says of its end is then certain."""
    generator = np.random.default_rng(seed)
    shares = (0.25, 0.5, 0.75, 1.0)

    def trial(final):
        values = tuple(float(0.5 + (final - 0.5) * share**0.3) for share in shares)
        metrics = {
            "accuracy": values[-1],
            "latency_p50": float(generator.uniform(1, 4)),
            "parameters": float(generator.integers(1, 5)),
        }
        return KnownTrial(metrics=metrics, curve=Curve(shares=shares, values=values, final=values[-1]))

    *others, last = [trial(float(final)) for final in generator.uniform(0.5, 0.9, 20)]
    known = {name: value for name, value in last.metrics.items() if name != "accuracy"}
    begun = KnownTrial(metrics=known, curve=Curve(shares=shares[:points], values=last.curve.values[:points]))
    decision = judged(begun, completed=others, objectives=objectives, curves=others)
    rows = [one.metrics for one in (*others, last)]
    if decision.stops:
        assert len(rows) - 1 not in front(objectives, rows)


def test_what_is_clearly_dominated_is_stopped_in_most_cases():
    """The other side of the property above, which never stopping anybody would fulfil, too."""
    generator = np.random.default_rng(5)
    finals = generator.uniform(0.55, 0.9, 30)
    gains = generator.normal(0.1, 0.005, 30)
    others = [ended(float(f), latency=1.0, gain=float(g)) for f, g in zip(finals, gains, strict=True)]
    stops = [judged(running(float(v), latency=2.0), completed=others, curves=others).stops for v in finals - 0.15]
    assert np.mean(stops) > 0.9
