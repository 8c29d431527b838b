"""The variance that a latency carries to the strategy."""

import math
import random
import statistics

import pytest

from hardware.spread import MEDIAN_VARIANCE, PRIOR_DEVIATION, log_variance
from hardware.values import Quantile


def of(value_s: float, width: float = 0.0) -> Quantile:
    return Quantile(value_s=value_s, low_s=value_s * (1 - width / 2), high_s=value_s * (1 + width / 2))


def test_one_process_has_the_prior_between_processes_and_its_own_interval() -> None:
    assert log_variance([of(0.004)]) == pytest.approx(PRIOR_DEVIATION**2)
    within = (math.log(1.1 / 0.9) / 3.92) ** 2
    assert log_variance([of(0.004, width=0.2)]) == pytest.approx(PRIOR_DEVIATION**2 + within)


def test_one_process_without_an_interval_is_less_certain_than_one_with() -> None:
    assert log_variance([Quantile(value_s=0.1, low_s=None, high_s=None)]) > log_variance([of(0.1, width=0.05)])


def test_half_an_interval_tells_at_least_as_much_uncertainty() -> None:
    half = Quantile(value_s=0.1, low_s=0.05, high_s=None)
    assert log_variance([half]) == pytest.approx(PRIOR_DEVIATION**2 + (math.log(2) / 1.96) ** 2)
    narrow = Quantile(value_s=0.1, low_s=0.0999, high_s=None)
    assert log_variance([narrow]) == pytest.approx(2 * PRIOR_DEVIATION**2)


def test_processes_that_agree_are_certain_but_not_exact() -> None:
    assert 0 < log_variance([of(0.004)] * 3) < log_variance([of(0.004)])
    assert log_variance([of(0.004)] * 5) < log_variance([of(0.004)] * 3)


def test_processes_that_disagree_are_less_certain() -> None:
    assert log_variance([of(0.004), of(0.005), of(0.006)]) > 4 * log_variance([of(0.004)] * 3)


def test_unit_of_the_latency_does_not_matter() -> None:
    slow = log_variance([of(0.4), of(0.5), of(0.6)])
    assert slow == pytest.approx(log_variance([of(0.004), of(0.005), of(0.006)]))


def test_disturbance_is_added() -> None:
    assert log_variance([of(1.0)], math.log(2)) == pytest.approx(PRIOR_DEVIATION**2 + math.log(2) ** 2)


@pytest.mark.parametrize("count", sorted(MEDIAN_VARIANCE))
def test_table_holds_the_variance_of_a_median(count: int) -> None:
    generator = random.Random(3)
    medians = [statistics.median(generator.gauss(0, 1) for _ in range(count)) for _ in range(20_000)]
    assert statistics.variance(medians) == pytest.approx(MEDIAN_VARIANCE[count], rel=0.05)
