"""What a study costs, and budgets of device-hours."""

import pytest

from protocol.jobs import JobKind
from protocol.study import StudySpec
from protocol.views import StudyState
from service.operations.supply import has_need, read_supply, space_of
from service.operations.trials import add_trial


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def do(worker, clock, seconds, name="w", **changes):
    grant = worker.lease(name, **changes)
    clock.advance(seconds)
    worker.report(grant)
    return grant


def budget(**changes):
    return {"trials": 6, "finalists": 2, "measuring": "quick", "final_measuring": "search", **changes}


def supply(worker):
    with worker.store.read() as uow:
        study = uow.studies.get(1)
        return has_need(uow, study), read_supply(uow, study, space_of(study))


def test_cost_is_the_time_that_jobs_had_a_worker_whatever_became_of_them(worker, clock):
    worker.create()
    do(worker, clock, 100)
    do(worker, clock, 10)
    worker.lease("lost")
    clock.advance(1000)
    grant = worker.lease("gives up")
    clock.advance(4)
    worker.release(grant)
    worker.lease("at it")
    clock.advance(6)
    study = worker.study()
    assert study.device_seconds == {"calibrate": 10, "measure": 30 + 4 + 6, "prepare": 100}
    assert study.device_seconds_by_worker == {"at it": 6, "gives up": 4, "lost": 30, "w": 110}


def test_search_ends_when_its_device_hours_are_spent(worker, clock):
    searching(worker, budget=budget(device_hours=1))
    do(worker, clock, 600)
    needed, before = supply(worker)
    assert (needed, before.count, before.ended) == (True, 1, False)
    do(worker, clock, 3000)
    needed, after = supply(worker)
    assert (needed, after.count, after.ended) == (True, 0, True)


def test_trials_that_were_begun_are_ended(worker, clock):
    searching(worker, budget=budget(device_hours=1))
    clock.advance(1)
    do(worker, clock, 3600)
    assert supply(worker)[1].ended is False  # it is still to be distilled
    assert worker.lease().work.kind is JobKind.DISTILL


def test_running_attempts_count(worker, clock):
    searching(worker, budget=budget(device_hours=0.01))
    grant = worker.lease()
    clock.advance(20)
    assert supply(worker)[1].count == 1
    worker.renew(grant)
    clock.advance(20)
    assert supply(worker)[1].count == 0


def test_remaining_time_is_no_more_than_the_device_hours_pay(worker, clock):
    """A trial takes 100 s; of half an hour 1,700 s are left: 17 more trials, where 99 might be tried."""
    searching(worker, budget=budget(trials=100, device_hours=0.5, finalists=1))
    do(worker, clock, 20)
    do(worker, clock, 80)
    with worker.store.read() as uow:
        spec = uow.studies.get(1).spec
    finalist_s = 80 * spec.full_passes / spec.flash_steps + 20
    assert worker.study().remaining_s == pytest.approx(17 * 100 + finalist_s)


def test_remaining_time_counts_what_attempts_cost_that_came_to_nothing(worker, clock):
    searching(worker)
    worker.lease("lost")
    clock.advance(1000)
    do(worker, clock, 10)
    do(worker, clock, 20)
    with worker.store.read() as uow:
        spec = uow.studies.get(1).spec
    finalists_s = 2 * (20 * spec.full_passes / spec.flash_steps + 40)
    assert worker.study().remaining_s == pytest.approx(5 * (40 + 20) + finalists_s)


@pytest.mark.parametrize(
    ("schedule", "passes"),
    [
        ("direct", 1),
        ({"kind": "minidisc", "sparsities": [0.0, 0.5, 0.9]}, 2 * 4),
        ({"kind": "minidisc", "sparsities": [0.0, 0.5, 0.9], "between": 1, "iterations": 2}, 3 * 3),
        ({"kind": "maxidisc", "sparsities": [0.3, 0.6]}, 2 * 2),
    ],
)
def test_assistants_cost_steps_too(spec, schedule, passes):
    spec["distillation"]["schedule"] = schedule
    assert StudySpec.model_validate(spec).full_passes == passes * 1000


def test_study_that_has_ended_says_what_it_cost(worker, clock):
    searching(worker, budget=budget(trials=1, finalists=1))
    worker.work()
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        assert study.state is StudyState.SEARCHING
        add_trial(uow, study, worker.answers.teacher, "test")
    do(worker, clock, 5)
    assert worker.study().device_seconds["measure"] == 5


def test_attempt_that_a_restored_backup_knows_as_running_costs_nothing_more(worker, clock):
    searching(worker)
    grant = worker.lease()
    with worker.store.write() as uow:
        job = uow.jobs.lock(grant.job)  # as a restore does, so that nobody's attempt fits any more
        job.attempt, job.released = job.attempt + 1000, job.released + 1001
    clock.advance(10_000)
    assert "measure" not in worker.study().device_seconds
    worker.work(JobKind.MEASURE)
    assert [attempt.attempt for attempt in worker.job(grant.job).attempts] == [1, 1002]
