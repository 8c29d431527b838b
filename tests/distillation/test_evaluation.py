import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from distillation.evaluation import estimate, score, wilson
from distillation.values import Metric

ANSWERS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)
PEERS = {
    Metric.ACCURACY: accuracy_score,
    Metric.MACRO_F1: lambda truth, predictions: f1_score(truth, predictions, average="macro"),
    Metric.MATTHEWS: matthews_corrcoef,
}


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("metric", list(Metric))
@given(answers=ANSWERS)
def test_metrics_agree_with_scikit_learn(metric, answers):
    truth, predictions = np.array(answers).T
    assert score(metric, truth, predictions, 4) == pytest.approx(PEERS[metric](truth, predictions), abs=1e-9)


def test_wilson_interval_is_the_published_example():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_wilson_interval_holds_its_share_at_the_ends_too(share):
    assert all(low <= share <= high for low, high in (wilson(share, count) for count in range(1, 100)))


def test_many_classes_need_little_memory():
    truth = np.arange(600) % 300
    tracemalloc.start()
    found = estimate(Metric.MACRO_F1, truth, np.where(np.arange(600) % 5, truth, 0), 300)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.low < found.value < found.high
    assert peak_bytes < 100e6


@pytest.mark.parametrize("metric", list(Metric))
def test_intervals_hold_their_value_and_shrink_with_more_examples(metric):
    random = np.random.default_rng(0)

    def interval(count):
        truth = random.integers(0, 3, count)
        predictions = np.where(random.random(count) < 0.8, truth, random.integers(0, 3, count))
        found = estimate(metric, truth, predictions, 3)
        assert found.examples == count
        assert found.low < found.value < found.high
        return found.high - found.low

    assert interval(5000) < 0.4 * interval(200)


@pytest.mark.parametrize("metric", [Metric.MACRO_F1, Metric.MATTHEWS])
def test_bootstrap_interval_covers_the_true_value_about_as_often_as_it_says(metric):
    random = np.random.default_rng(1)

    def sample(count):
        truth = random.integers(0, 2, count)
        return truth, np.where(random.random(count) < 0.85, truth, 1 - truth)

    true_value = score(metric, *sample(400_000), 2)
    found = [estimate(metric, *sample(200), 2) for _ in range(100)]
    assert 88 <= sum(one.low <= true_value <= one.high for one in found) <= 100


def test_equal_seeds_give_equal_intervals():
    truth, predictions = np.array([0, 1, 1, 0] * 20), np.array([0, 1, 0, 0] * 20)
    first = estimate(Metric.MATTHEWS, truth, predictions, 2, seed=3)
    assert first == estimate(Metric.MATTHEWS, truth, predictions, 2, seed=3)
    assert first != estimate(Metric.MATTHEWS, truth, predictions, 2, seed=4)
