"""Quantiles and their intervals."""

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hardware.quantile import dependence, interval_ranks, quantile, quantile_of_calls


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 5, 6, 7, 34, 35, 100, 367, 368, 662, 5_000, 300_000])
def test_ranks_are_the_narrowest_that_the_binomial_distribution_allows(n: int, q: float) -> None:
    low, high = interval_ranks(n, q)
    count = stats.binom(n, q)
    if low is None:
        assert count.cdf(0) > 0.025
    else:
        assert count.cdf(low - 1) <= 0.025 < count.cdf(low)
    if high is None:
        assert count.sf(n - 1) > 0.025
    else:
        assert count.sf(high - 1) <= 0.025 < count.sf(high - 2)


@pytest.mark.parametrize(("q", "n"), [(0.5, 100), (0.9, 64), (0.99, 662)])
def test_interval_covers_the_true_quantile_of_a_skewed_distribution_in_95_of_100_simulations(q: float, n: int) -> None:
    generator = random.Random(7)
    truth = stats.lognorm(0.8).ppf(q)
    covered = 0
    for _ in range(2_000):
        estimate = quantile([generator.lognormvariate(0, 0.8) for _ in range(n)], q)
        assert estimate.low_s is not None
        assert estimate.high_s is not None
        covered += estimate.low_s <= truth <= estimate.high_s
    # The true coverage is 0.95 to 0.985 (ranks are whole numbers); 0.94 is two deviations of 2,000 runs below it.
    assert 0.94 <= covered / 2_000 <= 0.995


@given(st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_value_is_a_sample_inside_its_interval_whatever_the_order(samples: list[float], q: float) -> None:
    estimate = quantile(samples, q)
    assert estimate.value_s in samples
    assert estimate.low_s is None or estimate.low_s <= estimate.value_s
    assert estimate.high_s is None or estimate.value_s <= estimate.high_s
    assert estimate == quantile(samples[::-1], q)


def test_bounds_are_missing_where_samples_are_too_few() -> None:
    assert interval_ranks(5, 0.5) == (None, None)
    assert interval_ranks(6, 0.5) == (1, 6)
    assert interval_ranks(367, 0.99)[1] is None
    assert interval_ranks(368, 0.99)[1] == 368


def test_rank_of_a_whole_number_is_not_rounded_up() -> None:
    assert quantile([float(value) for value in range(1, 101)], 0.9).value_s == 90.0
    assert quantile([float(value) for value in range(1, 701)], 0.99).value_s == 693.0


@pytest.mark.parametrize(("n", "q"), [(0, 0.5), (10, 0.0), (10, 1.0)])
def test_impossible_ranks_are_refused(n: int, q: float) -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        interval_ranks(n, q)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        quantile([], 0.5)


def following(count: int, correlation: float, seed: int) -> list[float]:
    """Log-normal durations, of which each resembles the one before (an autoregressive process of order 1)."""
    generator = random.Random(seed)
    state, found = generator.gauss(0, 1), []
    for _ in range(count):
        found.append(1e-3 * float(np.exp(0.05 * state)))
        state = correlation * state + generator.gauss(0, (1 - correlation**2) ** 0.5)
    return found


@pytest.mark.parametrize(("q", "correlation"), [(0.5, 0.0), (0.5, 0.6), (0.9, 0.6), (0.5, 0.9)])
def test_interval_of_calls_that_resemble_each_other_covers_the_true_quantile(q: float, correlation: float) -> None:
    truth, runs = 1e-3 * float(np.exp(0.05 * stats.norm.ppf(q))), 200
    estimates = [quantile_of_calls(following(1_000, correlation, seed), q) for seed in range(runs)]
    covered = sum(each.low_s <= truth <= each.high_s for each in estimates if each.low_s and each.high_s)
    # Taken for independent, about three quarters of medians are covered at a correlation of 0.6, two fifths at 0.9.
    assert covered / runs >= 0.91


def test_dependence_is_the_sum_of_the_autocorrelations() -> None:
    assert dependence(following(20_000, 0.0, 0), 0.5) == pytest.approx(1.0, abs=0.1)
    # Of the indicator of a normal variable's median the autocorrelation is (2 / pi) arcsin(0.8 ** lag).
    expected = 1 + 2 * sum(2 / np.pi * np.arcsin(0.8**lag) for lag in range(1, 100))
    assert dependence(following(200_000, 0.8, 0), 0.5) == pytest.approx(expected, rel=0.1)


def test_calls_that_alternate_or_are_all_equal_are_taken_for_independent() -> None:
    assert dependence([1.0, 2.0] * 100, 0.5) == 1.0
    assert dependence([1.0] * 100, 0.5) == 1.0
    assert quantile_of_calls([1.0], 0.5) == quantile([1.0], 0.5)
    with pytest.raises(ValueError, match="at least one sample"):
        quantile_of_calls([], 0.5)


@given(st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=500), st.sampled_from([0.5, 0.9, 0.99]))
def test_dependence_widens_an_interval_and_takes_no_bound_away(samples: list[float], q: float) -> None:
    free, bound = quantile(samples, q), quantile_of_calls(samples, q)
    assert bound.value_s == free.value_s
    assert (bound.low_s is None, bound.high_s is None) == (free.low_s is None, free.high_s is None)
    assert bound.low_s is None or bound.low_s <= bound.value_s
    assert bound.high_s is None or bound.high_s >= bound.value_s


def test_a_slow_drift_leaves_an_interval_of_nearly_all_samples() -> None:
    drifting = [1.0 + rank / 100_000 for rank in range(1000)]
    estimate = quantile_of_calls(drifting, 0.5)
    assert (estimate.low_s, estimate.high_s) == (drifting[142], drifting[857])


def test_dependence_of_millions_of_calls_takes_little_memory() -> None:
    samples = following(50_000, 0.8, 1) * 20
    tracemalloc.start()
    found = dependence(samples, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == pytest.approx(dependence(samples[:16_384], 0.5), rel=0.3)
    assert peak < 3 * 8 * len(samples)
