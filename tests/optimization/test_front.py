from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimization.errors import OptimizationError
from optimization.front import choose_finalists, front, growth, hypervolume, infer_reference
from optimization.values import Direction, Objective

ACCURACY = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
LATENCY = Objective(metric="latency", direction=Direction.MINIMIZE)
SIZE = Objective(metric="size", direction=Direction.MINIMIZE)
OBJECTIVES = (ACCURACY, LATENCY, SIZE)
REFERENCE = {"accuracy": 0, "latency": 8, "size": 8}

whole = st.integers(0, 7)
few_rows = st.lists(st.fixed_dictionaries({"accuracy": whole, "latency": whole, "size": whole}), max_size=9)
how_many = st.integers(1, 3)


def better_or_equal(objective: Objective, value: float, other: float) -> bool:
    return value >= other if objective.direction is Direction.MAXIMIZE else value <= other


def dominates(objectives, row, other) -> bool:
    no_worse = all(better_or_equal(o, row[o.metric], other[o.metric]) for o in objectives)
    return no_worse and any(row[o.metric] != other[o.metric] for o in objectives)


def cells_dominated(objectives, rows) -> int:
    """Unit cells between the best corner and the reference that some row dominates, counted one by one."""
    gains = [
        [row[o.metric] if o.direction is Direction.MAXIMIZE else 8 - row[o.metric] for o in objectives] for row in rows
    ]
    cells = itertools.product(range(8), repeat=len(objectives))
    return sum(any(all(c < g for c, g in zip(cell, gain, strict=True)) for gain in gains) for cell in cells)


def volume_unit(objectives) -> int:
    """|reference| of each objective, 1 where it is 0."""
    return math.prod(abs(REFERENCE[o.metric]) or 1 for o in objectives)


@given(rows=few_rows, many=how_many)
def test_front_is_what_nothing_dominates(rows, many):
    objectives = OBJECTIVES[:many]
    expected = [place for place, row in enumerate(rows) if not any(dominates(objectives, other, row) for other in rows)]
    assert front(objectives, rows) == expected


@settings(deadline=None)
@given(rows=few_rows, many=how_many)
def test_hypervolume_is_the_volume_counted_cell_by_cell(rows, many):
    objectives = OBJECTIVES[:many]
    expected = cells_dominated(objectives, rows) / volume_unit(objectives)
    assert hypervolume(objectives, rows, REFERENCE) == pytest.approx(expected, abs=1e-12)


@given(rows=few_rows, row=st.fixed_dictionaries({"accuracy": whole, "latency": whole, "size": whole}))
def test_hypervolume_never_falls_as_rows_are_added(rows, row):
    before = hypervolume(OBJECTIVES, rows, REFERENCE)
    assert hypervolume(OBJECTIVES, [*rows, row], REFERENCE) >= before - 1e-12


@settings(deadline=None)
@given(rows=st.lists(st.none() | few_rows.map(lambda rows: rows[0] if rows else None), max_size=9), many=how_many)
def test_growth_is_the_hypervolume_of_all_rows_up_to_each_end(rows, many):
    """Counted on from the front so far, it is as if all were counted anew."""
    objectives = OBJECTIVES[:many]
    for ends in (range(len(rows) + 1), range(len(rows) % 3, len(rows) + 1, 3)):
        told = [[row for row in rows[:end] if row is not None] for end in ends]
        expected = [hypervolume(objectives, each, REFERENCE) for each in told]
        assert growth(objectives, rows, ends, REFERENCE) == pytest.approx(expected)


def test_hypervolume_does_not_depend_on_the_unit_of_a_metric():
    seconds = [{"accuracy": 0.7, "latency": 0.004}, {"accuracy": 0.6, "latency": 0.001}]
    milliseconds = [row | {"latency": 1000 * row["latency"]} for row in seconds]
    objectives = (ACCURACY, LATENCY)
    in_seconds = hypervolume(objectives, seconds, infer_reference(objectives, seconds))
    in_milliseconds = hypervolume(objectives, milliseconds, infer_reference(objectives, milliseconds))
    assert in_seconds == pytest.approx(in_milliseconds)
    assert in_seconds > 0


@settings(deadline=None)
@given(rows=few_rows, count=st.integers(0, 4), many=how_many)
def test_finalists_are_chosen_greedily_from_the_front(rows, count, many):
    objectives = OBJECTIVES[:many]
    members = front(objectives, rows)
    chosen = choose_finalists(objectives, rows, count, REFERENCE)
    assert len(chosen) == len(set(chosen)) == min(count, len(members))
    assert set(chosen) <= set(members)
    for place, row in enumerate(chosen):
        others = [cells_dominated(objectives, [rows[i] for i in [*chosen[:place], m]]) for m in members]
        assert cells_dominated(objectives, [rows[i] for i in [*chosen[:place], row]]) == max(others)


def test_finalists_need_not_have_the_best_quality():
    rows = [{"accuracy": 0.80, "latency": 9.9}, {"accuracy": 0.79, "latency": 5}, {"accuracy": 0.70, "latency": 1}]
    reference = {"accuracy": 0.5, "latency": 10}
    assert choose_finalists((ACCURACY, LATENCY), rows, 2, reference) == [2, 1]


def test_duplicates_are_all_in_the_front_but_come_last_as_finalists():
    rows = [{"accuracy": 5, "latency": 5}, {"accuracy": 5, "latency": 5}, {"accuracy": 6, "latency": 6}]
    assert front((ACCURACY, LATENCY), rows) == [0, 1, 2]
    assert choose_finalists((ACCURACY, LATENCY), rows, 2, REFERENCE) == [0, 2]
    assert choose_finalists((ACCURACY, LATENCY), rows, 9, REFERENCE) == [0, 2, 1]


@given(rows=few_rows.filter(bool))
def test_every_row_is_better_than_the_inferred_reference(rows):
    reference = infer_reference(OBJECTIVES, rows)
    for row in rows:
        assert all(row[o.metric] != reference[o.metric] for o in OBJECTIVES)
        assert dominates(OBJECTIVES, row, reference)
    assert hypervolume(OBJECTIVES, rows, reference) > 0


def test_reference_is_the_worst_seen_and_a_tenth_of_the_range():
    rows = [{"accuracy": 0.8, "latency": 0.001}, {"accuracy": 0.6, "latency": 0.1}, {"accuracy": 0.5, "latency": 0.2}]
    reference = infer_reference((ACCURACY, LATENCY), rows)
    assert reference == pytest.approx({"accuracy": 0.5 - 0.03, "latency": 0.2 + 0.0199})


def test_reference_of_a_single_row_is_a_tenth_of_its_values_worse():
    reference = infer_reference(OBJECTIVES, [{"accuracy": 0.5, "latency": 0.02, "size": 0}])
    assert reference == pytest.approx({"accuracy": 0.45, "latency": 0.022, "size": 0.1})


def test_no_rows_have_no_front_no_volume_and_no_reference():
    assert front(OBJECTIVES, []) == []
    assert hypervolume(OBJECTIVES, [], REFERENCE) == 0
    assert choose_finalists(OBJECTIVES, [], 3, REFERENCE) == []
    with pytest.raises(OptimizationError, match="needs at least one row"):
        infer_reference(OBJECTIVES, [])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(value):
    rows = [{"accuracy": 0.5, "latency": 1}, {"accuracy": value, "latency": 1}]
    with pytest.raises(OptimizationError, match=f"row 1 has accuracy = {value}, which is not a finite number"):
        front((ACCURACY, LATENCY), rows)
    with pytest.raises(OptimizationError, match="the reference has accuracy"):
        hypervolume((ACCURACY, LATENCY), rows[:1], rows[1])


def test_a_missing_metric_is_refused_by_name():
    with pytest.raises(OptimizationError, match="row 0 has no latency"):
        front((ACCURACY, LATENCY), [{"accuracy": 0.5}])
    with pytest.raises(OptimizationError, match="the reference has no latency"):
        hypervolume((ACCURACY, LATENCY), [], {"accuracy": 0})


def test_a_negative_number_of_finalists_is_refused():
    with pytest.raises(OptimizationError, match="at least 0, got -1"):
        choose_finalists((ACCURACY, LATENCY), [], -1, REFERENCE)


def test_front_values_strategy_and_registry_import_no_torch_and_no_ax():
    modules = "optimization.front, optimization.values, optimization.strategy, optimization.registry"
    heavy = "('torch', 'ax', 'botorch', 'gpytorch', 'pandas', 'scipy')"
    code = f"import sys, {modules}; print(*[name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
