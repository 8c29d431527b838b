"""What a strategy looks at of a space that is too large to be looked at as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimization.pool import MOST_SMALL, neighbours, pool
from search_space import KNOWN, Pooler, preset


@pytest.fixture(scope="module")
def space():
    return preset("bert")


def test_distinct_free_rows_from_everywhere_with_the_neighbours_of_the_front_and_published_shapes(space):
    free = np.ones(space.size, dtype=np.bool_)
    parents = [space.size // 3, space.size // 2]
    near = np.unique(np.concatenate([neighbours(space, parent) for parent in parents]))
    # Of a teacher with another vocabulary and with a pooler they would be the same shapes.
    published = {space.index(replace(KNOWN[name], pooler=Pooler.NONE)) for name in ("bert-base", "tinybert-6")}
    assert None not in published
    taken = [*parents, int(near[0]), next(iter(published))]
    free[taken] = False
    rows = pool(space, free, parents, np.random.default_rng(0))
    assert space.size > MOST_SMALL > 500 < len(rows)
    assert len(set(rows.tolist())) == len(rows)
    assert free[rows].all()
    assert set(near.tolist()) | published <= set(rows.tolist()) | set(taken)
    assert np.ptp(rows) > 0.9 * space.size
    assert (rows == pool(space, free, parents, np.random.default_rng(0))).all()


def test_as_many_as_are_asked_for(space):
    free = np.ones(space.size, dtype=np.bool_)
    assert len(pool(space, free, [], np.random.default_rng(0))) < 2000
    assert len(pool(space, free, [], np.random.default_rng(0), least=2000)) >= 2000


def test_of_a_space_that_is_nearly_finished_all_that_is_left(space):
    free = np.zeros(space.size, dtype=np.bool_)
    free[:: space.size // MOST_SMALL + 1] = True
    assert (pool(space, free, [3], np.random.default_rng(0)) == np.flatnonzero(free)).all()
