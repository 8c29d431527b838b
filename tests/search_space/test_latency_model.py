import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from search_space import Choice, IntegerRange, SearchSpace, SearchSpaceError
from search_space.latency_features import features_of_columns, features_of_table
from search_space.latency_model import LatencyModel

SPACE = SearchSpace(
    dimensions={
        "layers": IntegerRange(low=1, high=4),
        "hidden_size": Choice(values=(64, 128, 256)),
        "heads": Choice(values=(1, 2, 4)),
        "ffn_size": Choice(values=(128, 512)),
    }
)
TABLE = {"depth": [1.0, 2.0, 4.0, 4.0], "width": [8.0, 8.0, 8.0, 16.0]}


def model_of(features, *, terms=0, **changes):
    """A model with made-up hyperparameters of the rows of these features."""
    generator = np.random.default_rng(0)
    columns = np.log(features.sizes)
    weights = tuple(generator.random(terms))
    if terms:
        columns = np.column_stack([columns, np.log(features.terms @ np.array(weights))])
    spread = columns.std(axis=0)
    spread[spread < 1e-9] = 0
    varying = spread > 0
    points = (columns[:, varying] - columns[:, varying].mean(axis=0)) / spread[varying]
    parts = {
        "batch": 1,
        "length": 32,
        "names": features.names,
        "weights": weights,
        "low": tuple(features.sizes.min(axis=0)),
        "high": tuple(features.sizes.max(axis=0)),
        "centre": tuple(columns.mean(axis=0)),
        "spread": tuple(spread),
        "points": tuple(map(tuple, points)),
        "values": tuple(generator.standard_normal(len(points))),
        "noise": tuple(0.01 + generator.random(len(points))),
        "level": -5.0,
        "scale": 0.7,
        "slopes": 0.9,
        "bends": 0.4,
        "lengths": tuple(1 + generator.random(int(varying.sum()))),
        "floor": 0.01,
        "inflation": 1.5,
    }
    return LatencyModel(**parts | changes)


def literal(model, features):
    """Means and deviations by the formulas, point by point."""
    dimensions = len(model.lengths)

    def standardised(row):
        logs = [np.log(size) for size in features.sizes[row]]
        if model.weights:
            logs.append(np.log(sum(t * w for t, w in zip(features.terms[row], model.weights, strict=True))))
        return [(x - c) / s for x, c, s in zip(logs, model.centre, model.spread, strict=True) if s > 0]

    def kernel(p, q):
        distance = sum(((a - b) / length) ** 2 for a, b, length in zip(p, q, model.lengths, strict=True)) ** 0.5
        s = 5**0.5 * distance
        slope = model.slopes * sum(a * b for a, b in zip(p, q, strict=True)) / dimensions
        return 1 + slope + model.bends * (1 + s + s**2 / 3) * np.exp(-s)

    own = np.array([[kernel(p, q) for q in model.points] for p in model.points]) + np.diag(model.noise)
    means, deviations = [], []
    for row in range(len(features)):
        point = standardised(row)
        k = np.array([kernel(point, q) for q in model.points])
        solved = np.linalg.solve(own, k)
        means.append(model.level + model.scale * solved @ np.array(model.values))
        variance = kernel(point, point) - solved @ k + model.floor
        deviations.append(model.inflation * model.scale * variance**0.5)
    return means, deviations


@pytest.mark.parametrize("terms", [False, True])
def test_predictions_are_those_of_the_formulas(terms):
    rows = np.arange(0, SPACE.size, 7)
    features = features_of_columns(SPACE.take(rows), batch=1, length=32)
    asked = features_of_columns(SPACE.take(np.arange(0, SPACE.size, 5)), batch=1, length=32)
    model = model_of(features, terms=features.terms.shape[1] if terms else 0)
    means, deviations = model.log_latency(asked)
    expected = literal(model, asked)
    np.testing.assert_allclose(means, expected[0], rtol=1e-9)
    np.testing.assert_allclose(deviations, expected[1], rtol=1e-7)


def test_a_whole_space_is_predicted_in_the_order_of_its_columns():
    features = features_of_columns(SPACE.take(np.arange(0, SPACE.size, 7)), batch=1, length=32)
    model = model_of(features, terms=features.terms.shape[1])
    means, deviations = model.predict(SPACE)
    assert means.shape == deviations.shape == (SPACE.size,)
    others = model.predict_architectures(SPACE.architectures(range(SPACE.size)))
    np.testing.assert_allclose(means, others[0])
    np.testing.assert_allclose(deviations, others[1])


def test_far_from_what_was_measured_it_is_less_sure():
    features = features_of_table(TABLE)
    model = model_of(features)
    near, far = model.log_latency(features)[1], model.log_latency(features_of_table({"depth": [64], "width": [512]}))[1]
    assert far[0] > 2 * near.max()


def test_a_model_is_plain_json_and_comes_back_equal():
    model = model_of(features_of_table(TABLE))
    values = json.loads(json.dumps(asdict(model)))
    again = LatencyModel(
        **{
            name: tuple(tuple(one) if isinstance(one, list) else one for one in value)
            if isinstance(value, list)
            else value
            for name, value in values.items()
        }
    )
    assert again == model
    np.testing.assert_array_equal(
        again.log_latency(features_of_table(TABLE)), model.log_latency(features_of_table(TABLE))
    )


def test_it_covers_the_shapes_between_those_that_were_measured():
    every = features_of_columns(SPACE.columns, batch=1, length=32)
    model = model_of(every.take(range(0, SPACE.size, 5)), terms=every.terms.shape[1])
    assert model.covers(SPACE)
    assert model.covers(SPACE.constrained("layers <= 2"))
    wider = SearchSpace(dimensions=dict(SPACE.dimensions) | {"hidden_size": Choice(values=(64, 1024))})
    assert not model.covers(wider)
    assert not model.covers(replace(SPACE, norm="no_norm"))
    assert not model_of(features_of_table(TABLE)).covers(SPACE)


@pytest.mark.parametrize(
    "changes",
    [
        {"points": (), "values": (), "noise": ()},
        {"values": (1.0,)},
        {"lengths": (1.0,)},
        {"noise": (0.1, 0.1, 0.1, 0.0)},
        {"scale": float("nan")},
        {"floor": -1.0},
        {"inflation": 0.0},
        {"batch": 0},
    ],
)
def test_parts_that_make_no_model_are_refused(changes):
    with pytest.raises(SearchSpaceError, match="latency model"):
        model_of(features_of_table(TABLE), **changes)


def test_other_features_are_refused():
    with pytest.raises(SearchSpaceError, match="fitted to depth, width; got depth"):
        model_of(features_of_table(TABLE)).log_latency(features_of_table({"depth": [1.0]}))
