from dataclasses import replace

import numpy as np
import pytest

from search_space import Architecture, AttentionInput, SearchSpaceError, cost, preset
from search_space.latency_features import (
    NAMES,
    LatencyFeatures,
    features_of,
    features_of_columns,
    features_of_table,
)


@pytest.mark.parametrize("name", ["bert", "autodistill-deep", "autodistill-shared"])
def test_points_of_a_space_have_the_features_of_their_architectures(name):
    space = preset(name)
    rows = np.random.default_rng(0).choice(space.size, 50, replace=False)
    of_points = features_of_columns(space.take(rows), batch=3, length=40)
    of_architectures = features_of(space.architectures(rows), batch=3, length=40)
    assert of_points.names == of_architectures.names == NAMES
    np.testing.assert_allclose(of_points.sizes, of_architectures.sizes)
    np.testing.assert_allclose(of_points.terms, of_architectures.terms)


def test_terms_are_what_the_architecture_costs():
    architecture = Architecture(vocabulary_size=100, layers=3, hidden_size=48, heads=2, head_size=24, ffn_size=96)
    (terms,) = features_of([architecture], batch=2, length=5).terms
    total = cost(architecture, batch=2, length=5)
    assert terms[:4].tolist() == [1, 3, 6, 3]
    assert terms[4] == total.macs
    assert terms[5] == total.parameters - (100 + 512 + 2) * 48
    assert terms[7] == 3 * 48 * 2 * 2 * 25
    assert terms[9] == 10 * 3 * (4 * 48 * 48 + 2 * 48 * 96)  # nothing to round up to 16
    assert terms[10] == 10 * 3 * (4 * 64 * 64 + 2 * 64 * 128)


def test_words_and_positions_that_nobody_reads_cost_no_time():
    small = Architecture(vocabulary_size=9, layers=1, hidden_size=8, heads=1, head_size=4, ffn_size=8, max_positions=4)
    large = replace(small, vocabulary_size=30_000, max_positions=512, token_types=0)
    (a, b) = (features_of([one], batch=1, length=4) for one in (small, large))
    np.testing.assert_array_equal(a.terms, b.terms)
    np.testing.assert_array_equal(a.sizes, b.sizes)


def test_switches_tell_options_apart():
    plain = {"vocabulary_size": 9, "layers": 1, "hidden_size": 8, "heads": 1, "head_size": 4, "ffn_size": 8}
    block = plain | {"bottleneck_size": 4}
    shapes = [plain, block, block | {"attention_input": AttentionInput.SHARED}, plain | {"trigram": True}]
    sizes = features_of([Architecture(**shape) for shape in shapes], batch=1, length=4).sizes
    assert len(np.unique(sizes, axis=0)) == len(shapes)


def test_layers_that_differ_count_by_their_mean():
    shape = {"vocabulary_size": 9, "layers": 2, "hidden_size": 8, "head_size": 4}
    uneven = Architecture(**shape, heads=(1, 3), ffn_size=(0, 16))
    even = Architecture(**shape, heads=2, ffn_size=8)
    np.testing.assert_allclose(
        features_of([uneven], batch=1, length=4).sizes, features_of([even], batch=1, length=4).sizes
    )


@pytest.mark.parametrize(
    ("sizes", "terms", "words"),
    [
        (np.ones((2, 2)), np.ones((2, 1)), "1 names"),
        (np.ones((2, 1)), np.ones((3, 1)), "2 rows"),
        (np.zeros((2, 1)), np.ones((2, 1)), "above 0"),
        (np.ones((2, 1)), -np.ones((2, 1)), "at least 0"),
        (np.full((2, 1), np.inf), np.ones((2, 1)), "finite"),
    ],
)
def test_numbers_that_are_no_features_are_refused(sizes, terms, words):
    with pytest.raises(SearchSpaceError, match=words):
        LatencyFeatures(names=("width",), sizes=sizes, terms=terms)


def test_a_table_has_sizes_and_no_terms():
    features = features_of_table({"width": [1, 2], "depth": [3, 4]})
    assert features.names == ("width", "depth")
    assert features.sizes.tolist() == [[1, 3], [2, 4]]
    assert features.terms.shape == (2, 0)
    assert len(features.take([1])) == 1
