"""What a curve ends at: against a slow transcription of the formula, and whether the stated upper end holds."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from optimization.curves import FEWEST_CURVES, Curve, forecast
from optimization.errors import OptimizationError

SHARES = (0.25, 0.5, 0.75, 1.0)


def curve(*values, final=None):
    return Curve(shares=SHARES[: len(values)], values=values, final=final)


def saturating(count, generator, noise=0.005):
    """Curves that begin at 0.5 and near their own end at their own rate."""
    ends = generator.uniform(0.6, 0.9, count)
    rates = np.exp(generator.normal(1.2, 0.4, count))
    shares = np.array(SHARES)
    risen = (1 - np.exp(-np.outer(rates, shares))) / (1 - np.exp(-rates))[:, None]
    values = 0.5 + (ends - 0.5)[:, None] * risen + generator.normal(0, noise, risen.shape)
    return [curve(*map(float, row), final=float(row[-1])) for row in values]


def begun(ended, points):
    return curve(*ended.values[:points])


def transcription(ended, running, noise):
    """The formula of `forecast`, loop by loop."""
    share, before = running.shares[-1], running.shares[-2:-1]
    rows, gains = [], []
    for each in ended:
        value = float(np.interp(share, each.shares, each.values))
        earlier = [value - float(np.interp(one, each.shares, each.values)) for one in before]
        rows.append([value, *earlier])
        gains.append(each.final - value)
    present = [running.values[-1], *([running.values[-1] - running.values[-2]] if before else [])]
    count, width = len(rows), len(present)
    middles = [sum(row[j] for row in rows) / count for j in range(width)]
    spreads = [math.sqrt(sum((row[j] - middles[j]) ** 2 for row in rows) / count) for j in range(width)]
    z_rows = [[(row[j] - middles[j]) / spreads[j] for j in range(width)] for row in rows]
    z = [(present[j] - middles[j]) / spreads[j] for j in range(width)]
    mean = sum(gains) / count
    gram = [[sum(row[i] * row[j] for row in z_rows) for j in range(width)] for i in range(width)]
    ridged = np.linalg.inv(np.array(gram) + np.eye(width))
    moment = [sum(row[j] * (gain - mean) for row, gain in zip(z_rows, gains, strict=True)) for j in range(width)]
    slopes = ridged @ np.array(moment)
    residuals = [gain - mean - sum(row * slopes) for row, gain in zip(map(np.array, z_rows), gains, strict=True)]
    freedom = count - 1 - np.trace(ridged @ np.array(gram))
    variance = sum((gain - mean) ** 2 for gain in gains) / count
    squared = (sum(one**2 for one in residuals) + max(variance, noise)) / freedom
    scale = math.sqrt(squared * (1 + 1 / count + np.array(z) @ ridged @ np.array(z)))
    expected = present[0] + mean + sum(np.array(z) * slopes)
    return expected, expected + student.ppf(0.95, freedom) * scale


@pytest.mark.parametrize("points", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_forecast_is_that_of_its_formula(points, noise):
    ended = saturating(11, np.random.default_rng(points))
    running = begun(saturating(1, np.random.default_rng(99))[0], points)
    found = forecast(ended, running, noise=noise)
    expected, optimistic = transcription(ended, running, noise)
    assert found.expected == pytest.approx(expected, rel=1e-9)
    assert found.optimistic == pytest.approx(optimistic, rel=1e-9)
    assert found.curves == 11


@pytest.mark.parametrize("points", [1, 2, 3])
def test_held_out_curves_end_below_the_optimistic_end_as_often_as_it_says(points):
    generator = np.random.default_rng(7)
    held = []
    for _ in range(400):
        *ended, other = saturating(13, generator)
        held.append(other.final <= forecast(ended, begun(other, points)).optimistic)
    assert np.mean(held) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_more_curves_and_later_points_tell_more():
    generator = np.random.default_rng(3)
    many = saturating(60, generator)
    other = saturating(1, generator)[0]

    def margin(ended, points):
        found = forecast(ended, begun(other, points))
        return found.optimistic - found.expected

    assert margin(many, 1) > margin(many, 3)
    assert margin(many[:FEWEST_CURVES], 1) > margin(many, 1)


def test_too_few_curves_tell_nothing():
    ended = saturating(FEWEST_CURVES, np.random.default_rng(0))
    running = curve(0.6)
    assert forecast(ended, running) is not None
    assert forecast(ended[1:], running) is None
    assert forecast([], running) is None
    late = [Curve(shares=(0.5, 1.0), values=(0.6, 0.7), final=0.7)] * 20
    assert forecast([*ended[1:], *late], running) is None  # they say nothing of so early a share
    still_running = [curve(0.6, 0.7)] * 20
    assert forecast([*ended[1:], *still_running], running) is None


def test_nothing_is_forecast_of_a_curve_that_is_at_its_end():
    ended = saturating(20, np.random.default_rng(0))
    assert forecast(ended, begun(ended[0], 4)) is None


def test_curves_that_never_moved_are_not_taken_for_certain():
    flat = [curve(0.5, 0.5, 0.5, 0.5, final=0.5)] * FEWEST_CURVES
    certain = forecast(flat, curve(0.5))
    assert (certain.expected, certain.optimistic) == (0.5, 0.5)
    assert forecast(flat, curve(0.5), noise=1e-4).optimistic > 0.505


def test_what_was_never_seen_is_less_sure():
    """Far below all curves that ended, the interval is wider."""
    ended = saturating(20, np.random.default_rng(1))
    near = forecast(ended, curve(float(np.median([one.values[0] for one in ended]))))
    far = forecast(ended, curve(0.2))
    assert far.optimistic - far.expected > 1.5 * (near.optimistic - near.expected)


def test_other_steps_than_those_of_the_ended_curves_lie_between_them():
    ended = [Curve(shares=(0.5, 1.0), values=(0.5 + 0.01 * k, 0.7 + 0.01 * k), final=0.7 + 0.01 * k) for k in range(10)]
    found = forecast(ended, Curve(shares=(0.75,), values=(0.645,)))
    assert found.expected == pytest.approx(0.745)


@pytest.mark.parametrize(
    ("shares", "values", "final"),
    [
        ((), (), None),
        ((0.5,), (0.1, 0.2), None),
        ((0.5, 0.5), (0.1, 0.2), None),
        ((0.0, 0.5), (0.1, 0.2), None),
        ((0.5, 1.5), (0.1, 0.2), None),
        ((0.5,), (math.nan,), None),
        ((0.5,), (0.1,), math.inf),
    ],
)
def test_what_is_no_curve_is_refused(shares, values, final):
    with pytest.raises(OptimizationError):
        Curve(shares=shares, values=values, final=final)


def test_what_differs_by_rounding_alone_is_alike():
    """All rise by 0.1 in a quarter, as far as floating point goes: to rise by 0.11 is not 10^15 deviations away."""
    ended = [
        curve(*(0.3 + 0.01 * k + 0.1 * quarter for quarter in range(1, 5)), final=0.7 + 0.01 * k) for k in range(12)
    ]
    increments = np.diff([one.values[:2] for one in ended])
    assert 0 < np.std(increments) < 1e-15
    found = forecast(ended, curve(0.4, 0.51))
    assert found.expected == pytest.approx(0.71)
    assert found.optimistic < 0.75
