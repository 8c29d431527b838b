"""What several measurements of a profile say of each one's noise."""

import math

import pytest

from service.operations.metrics import at_one_pace, pooled_variances


def trial(latency_s, deviation, **others):
    """`deviation` is of the latency's logarithm."""
    metrics = {"latency_p50": latency_s, "accuracy": 0.8, **others}
    return metrics, {"latency_p50": (latency_s * deviation) ** 2, "accuracy": 1e-4}


def deviations(trials):
    found = pooled_variances(trials)
    return [
        math.sqrt(variances["latency_p50"]) / metrics["latency_p50"]
        for (metrics, _), variances in zip(trials, found, strict=True)
    ]


def test_the_logarithms_of_variances_are_averaged():
    trials = [trial(1e-3, 0.02), trial(4e-3, 0.04), trial(9e-3, 0.02), trial(2e-3, 0.01)]
    expected = (0.02 * 0.04 * 0.02 * 0.01) ** 0.25
    assert deviations(trials) == pytest.approx([expected] * 4)
    assert [variances["accuracy"] for variances in pooled_variances(trials)] == [1e-4] * 4


def test_a_lucky_agreement_of_three_processes_is_not_taken_for_exact():
    assert deviations([trial(1e-3, 0.02)] * 9 + [trial(1e-3, 1e-4)])[-1] > 0.01


def test_a_disturbed_measurement_stays_more_doubtful_than_the_others():
    *usual, disturbed = deviations([trial(1e-3, 0.02)] * 9 + [trial(1e-3, 0.5)])
    assert disturbed == pytest.approx(0.25)
    assert max(usual) < 0.03


def test_trials_without_a_latency_or_of_one_that_is_exact_stay_as_they_are():
    exact = ({"latency_p50": 1e-3}, {"latency_p50": 0.0})
    pending: tuple[dict[str, float], dict[str, float]] = ({}, {})
    assert pooled_variances([exact, pending, trial(1e-3, 0.02)])[:2] == [{"latency_p50": 0.0}, {}]
    assert pooled_variances([]) == []


def test_latencies_are_compared_at_one_pace_of_the_machine():
    """Six of one architecture, three of which were measured while the machine took a fifth longer."""
    metrics = [{"latency_p50": 1e-3 * pace, "latency_p99": 2e-3 * pace, "accuracy": 0.8} for pace in [1.0, 1.2] * 3]
    readings = [(5e-4 * pace, 0.0) for pace in [1.0, 1.2] * 3]
    variances = [{"latency_p50": (1e-5 * pace) ** 2, "accuracy": 1e-4} for pace in [1.0, 1.2] * 3]
    found, noise = at_one_pace(metrics, variances, readings)
    for name in ("latency_p50", "latency_p99"):
        assert [values[name] for values in found] == pytest.approx([found[0][name]] * 6)
    assert {values["accuracy"] for values in found} == {0.8}
    assert [values["latency_p50"] for values in noise] == pytest.approx([noise[0]["latency_p50"]] * 6)
    assert {values["accuracy"] for values in noise} == {1e-4}
    assert at_one_pace(metrics, variances, [None] * 6) == (metrics, variances)
