import numpy as np
import pytest
from scipy.optimize import check_grad

from hardware.fitting import FitError, _Process, _term_weights, agreement, fit_latency
from search_space import Choice, IntegerRange, SearchSpace, cost_columns
from search_space.design import design
from search_space.latency_features import features_of_columns, features_of_table

SPACE = SearchSpace(
    dimensions={
        "layers": IntegerRange(low=1, high=12),
        "hidden_size": Choice(values=(64, 96, 128, 192, 256, 384, 512)),
        "heads": Choice(values=(1, 2, 4, 8)),
        "ffn_size": Choice(values=(128, 256, 512, 768, 1024, 1536)),
    }
)


def imagined(space, rows, *, noise=0.0, seed=0):
    """Latencies of a device with an overhead, a price for each layer and one for each multiply-accumulate, whose units
    are 64 wide."""
    points = space.take(rows)
    shape = {name: np.asarray(points[name]) for name in points}
    shape["ffn_size"] = -(-shape["ffn_size"] // 64) * 64
    macs = cost_columns(shape, batch=1, length=64).macs
    latencies = 2e-4 + 8e-5 * shape["layers"] + np.maximum(macs / 2e10, shape["layers"] * 1e-4)
    return latencies * np.exp(noise * np.random.default_rng(seed).standard_normal(len(rows)))


def test_a_few_rows_foretell_the_others_and_intervals_hold_them():
    known = design(SPACE, 64)
    asked = np.setdiff1d(np.arange(SPACE.size), known)[::7]
    features = features_of_columns(SPACE.columns, batch=1, length=64)
    fitted = fit_latency(features.take(known), imagined(SPACE, known, noise=0.02), batch=1, length=64)
    means, deviations = fitted.model.log_latency(features.take(asked))
    found = agreement(means, deviations, np.log(imagined(SPACE, asked, noise=0.02, seed=1)))
    assert found.mape < 0.03  # of which the noise is 0.016
    assert found.spearman > 0.99
    assert found.within > 0.85
    assert abs(fitted.agreement.mape - found.mape) < 0.02  # what it says of itself
    np.testing.assert_allclose(fitted.model.predict(SPACE)[0][asked], means)


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_rows_of_a_disturbed_machine_hardly_count(share):
    known = design(SPACE, 64)
    asked = np.setdiff1d(np.arange(SPACE.size), known)[::7]
    features = features_of_columns(SPACE.columns, batch=1, length=64)
    latencies = imagined(SPACE, known, noise=0.01)
    wrong = np.random.default_rng(3).choice(64, round(share * 64), replace=False)
    latencies[wrong] *= np.linspace(1.5, 9.0, len(wrong))
    fitted = fit_latency(features.take(known), latencies, batch=1, length=64)
    means, deviations = fitted.model.log_latency(features.take(asked))
    assert agreement(means, deviations, np.log(imagined(SPACE, asked))).mape < 0.04
    assert set(fitted.ill_fitting) >= set(wrong.tolist())


def test_no_row_is_left_out_for_a_difference_smaller_than_machines_make():
    known = design(SPACE, 64)
    features = features_of_columns(SPACE.columns, batch=1, length=64)
    assert fit_latency(features.take(known), imagined(SPACE, known), batch=1, length=64).ill_fitting == ()


def test_rows_that_are_all_as_doubtful_count_as_much_as_each_other():
    """How doubtful they are is seen from how they lie: a loaded machine makes the worst of its own measurements."""
    known = design(SPACE, 64)
    features = features_of_columns(SPACE.columns, batch=1, length=64).take(known)
    latencies = imagined(SPACE, known, noise=0.02)
    alike = fit_latency(features, latencies, log_variances=np.full(64, 9.0))
    assert alike.model == fit_latency(features, latencies).model


def test_a_row_that_is_more_doubtful_than_the_others_counts_less():
    known = design(SPACE, 64)
    features = features_of_columns(SPACE.columns, batch=1, length=64).take(known)
    latencies = imagined(SPACE, known)
    latencies[7] *= 1.05
    variances = np.where(np.arange(64) == 7, 0.25, 1e-4)
    doubted = fit_latency(features, latencies, log_variances=variances).model
    believed = fit_latency(features, latencies).model
    errors = [
        abs(model.log_latency(features.take([7]))[0][0] - np.log(latencies[7] / 1.05)) for model in (doubted, believed)
    ]
    assert errors[0] < errors[1]


def test_the_gradient_is_that_of_the_loss():
    generator = np.random.default_rng(0)
    process = _Process(generator.standard_normal((12, 3)), generator.standard_normal(12), 1 + generator.random(12))
    for _ in range(5):
        state = process._state + generator.standard_normal(6)
        scale = np.abs(process._loss(state)[1]).max()
        assert check_grad(lambda x: process._loss(x)[0], lambda x: process._loss(x)[1], state) < 1e-4 * scale


def test_what_others_say_of_a_row_is_what_a_model_without_it_says():
    """By leaving each row out and solving anew."""
    generator = np.random.default_rng(1)
    process = _Process(generator.standard_normal((10, 2)), generator.standard_normal(10), np.ones(10))
    process.fit()
    from search_space.latency_model import covariance

    whole = covariance(process.points, process.points, process.lengths, process.slopes, process.bends)
    residuals = process._left_out()
    for row in range(10):
        rest = np.arange(10) != row
        inside = whole[np.ix_(rest, rest)] + np.diag(process.noise[rest])
        mean = whole[row, rest] @ np.linalg.solve(inside, process.values[rest])
        assert residuals[row] == pytest.approx(process.values[row] - mean, rel=1e-6)


def test_terms_are_weighed_by_what_they_cost():
    generator = np.random.default_rng(0)
    terms = generator.random((40, 3))
    latencies = terms @ np.array([2.0, 0.0, 5.0])
    latencies[:4] *= 3
    np.testing.assert_allclose(_term_weights(terms, np.log(latencies)), [2.0, 0.0, 5.0], atol=1e-3)


def test_the_same_rows_give_the_same_model():
    features = features_of_table({"width": np.arange(1.0, 21.0)})
    latencies = np.arange(1.0, 21.0) ** 0.7
    assert fit_latency(features, latencies).model == fit_latency(features, latencies).model


def test_a_latency_that_depends_on_nothing_is_predicted_as_its_median():
    features = features_of_table({"width": np.arange(1.0, 41.0)})
    latencies = 3e-3 * np.exp(0.05 * np.random.default_rng(0).standard_normal(40))
    fitted = fit_latency(features, latencies)
    assert np.exp(fitted.model.log_latency(features)[0]) == pytest.approx(np.full(40, 3e-3), rel=0.05)
    assert fitted.agreement.spearman is None or abs(fitted.agreement.spearman) < 0.5


@pytest.mark.parametrize(
    ("latencies", "words"),
    [([1.0] * 7, "at least 8"), ([1.0] * 9 + [0.0], "above 0"), ([1.0] * 9 + [np.nan], "finite")],
)
def test_rows_that_allow_no_model_are_refused(latencies, words):
    with pytest.raises(FitError, match=words):
        fit_latency(features_of_table({"width": np.arange(1.0, len(latencies) + 1)}), latencies)


def test_agreement_counts_what_it_says():
    found = agreement(np.log([1.0, 2.2, 3.0]), np.array([0.01, 0.2, 0.01]), np.log([1.0, 2.0, 4.0]))
    assert found.mape == pytest.approx((0 + 0.1 + 0.25) / 3)
    assert found.median_ape == pytest.approx(0.1)
    assert found.spearman == pytest.approx(1.0)
    assert found.within == pytest.approx(2 / 3)
    assert agreement(np.zeros(3), np.ones(3), np.zeros(3)).spearman is None
