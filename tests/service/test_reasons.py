"""Why a trial was suggested, from what is stored."""

import pytest

from protocol.jobs import JobKind
from search_space import Architecture
from service.errors import NotFoundError
from service.operations.reasons import reason_of
from service.operations.trials import add_trial


def shape(layers, hidden_size):
    return Architecture(vocabulary_size=100, layers=layers, hidden_size=hidden_size, heads=1, head_size=16, ffn_size=32)


@pytest.fixture
def searching(worker):
    """A study whose search has begun, and a function that adds a trial with what was expected of it."""
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)

    def add(architecture, **predicted):
        with worker.store.write() as uow:
            study = uow.studies.lock(uow.studies.find("demo").id)
            return add_trial(uow, study, architecture, "pareto", predicted).number

    return add


def reason(worker, number):
    with worker.store.read() as uow:
        return reason_of(uow, "demo", number)


def test_what_was_expected_stands_beside_what_was_found(worker, searching):
    number = searching(shape(1, 16), accuracy=0.7, latency_p50=0.002)
    before = {one.metric: one for one in reason(worker, number).expectations}
    assert before["accuracy"].expected == 0.7
    assert before["accuracy"].found is None
    worker.work()
    trial = worker.trials()[number - 1]
    after = {one.metric: one for one in reason(worker, number).expectations}
    assert after["latency_p50"].expected == 0.002
    assert after["latency_p50"].found == trial.metrics["latency_p50"]
    assert after["accuracy"].deviation == pytest.approx(0.01 / 1.96)


def test_only_what_had_ended_when_it_was_chosen_counts(worker, searching, clock):
    first, second = searching(shape(1, 16)), searching(shape(2, 16))
    clock.advance(1)
    worker.work()
    clock.advance(1)
    third = searching(shape(3, 16))
    assert reason(worker, first).ended == reason(worker, second).ended == 0
    assert reason(worker, third).ended == reason(worker, third).completed == 3, "and the baseline"


def test_expectation_is_held_against_the_front_of_then(worker, searching, clock):
    for layers in (1, 2, 4):
        searching(shape(layers, 32))
    worker.work()
    clock.advance(1)
    better = searching(shape(1, 16), accuracy=0.99, latency_p50=1e-4)
    worse = searching(shape(2, 16), accuracy=0.01, latency_p50=9.0)
    best = {trial.number for trial in worker.trials() if trial.on_front and trial.number < better}
    said = reason(worker, better)
    assert set(said.beaten) == best
    assert said.expected_volume > said.volume
    said = reason(worker, worse)
    assert said.beaten == ()
    assert said.expected_volume == said.volume


def test_nothing_is_weighed_where_nothing_was_expected(worker, searching):
    numbers = [searching(shape(layers, 32)) for layers in (1, 2, 4)]
    worker.work()
    said = reason(worker, numbers[-1])
    assert all(one.expected is None for one in said.expectations)
    assert said.volume is said.expected_volume is None
    assert said.beaten == ()


def test_baseline_is_named_as_one(worker, searching):
    assert reason(worker, 1).is_baseline
    assert not reason(worker, searching(shape(1, 16))).is_baseline


def test_unknown_trial_is_not_found(worker, searching):
    with pytest.raises(NotFoundError, match="no trial 7"):
        reason(worker, 7)
