"""What is told of workers: whether they are alive, and what they are busy with."""

import pytest
from sqlalchemy import event

from protocol.jobs import JobKind, Progress, Reading, Renewal
from service.operations import jobs
from service.operations.devices import device_page
from service.operations.machines import ALIVE_S
from service.operations.paging import MOST
from service.operations.views import worker_page


def told(worker):
    with worker.store.read() as uow:
        return {view.name: view for view in worker_page(uow, MOST, None).items}


def test_worker_is_busy_with_what_it_leased_until_it_reports(worker, clock):
    worker.create()
    began = clock.now
    grant = worker.lease("busy")
    worker.lease("idle")
    progress = Progress(stage="reading", done=1, total=4)
    clock.advance(5)
    with worker.store.write() as uow:
        jobs.renew(uow, worker.settings, grant.job, Renewal(attempt=grant.attempt, progress=progress))
    (job,) = told(worker)["busy"].jobs
    assert (job.study, job.trial, job.kind, job.attempt) == ("demo", None, JobKind.PREPARE, 1)
    assert job.since == began
    assert job.progress == progress
    assert told(worker)["idle"].jobs == ()
    worker.report(grant)
    assert told(worker)["busy"].jobs == ()


def test_worker_that_was_not_seen_for_long_is_not_alive(worker, clock):
    worker.lease("first")
    clock.advance(ALIVE_S + 1)
    worker.lease("second")
    assert {name: view.alive for name, view in told(worker).items()} == {"first": False, "second": True}


def test_trial_of_the_job_is_told_by_its_number(worker):
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.lease("measuring")
    assert told(worker)["measuring"].jobs[0].trial == 1


def machine(worker, number, clock):
    """A worker of its own hardware, that read the reference architecture three times and is busy."""
    target = {"device": "cpu", "runtime": "torch", "hardware_key": f"key-{number:02}"}
    reading = {"target": "cpu/torch", "hardware_key": f"key-{number:02}", "disturbed": False, "tolerance": 0.07}
    readings = [Reading(**reading, p50_s=p50_s, measured_at=clock.now) for p50_s in (0.01, 0.02, 0.01 * number)]
    worker.create(name=f"study-{number:02}")
    return worker.lease(f"w-{number:02}", targets=(target,), readings=tuple(readings))


@pytest.mark.parametrize(("page_of", "most"), [(worker_page, 6), (device_page, 10)])
def test_a_page_of_many_machines_takes_as_many_statements_as_one_of_few(worker, store, clock, page_of, most):
    asked, spent = [], []
    event.listen(store._engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    for numbers in (range(1, 3), range(3, 13)):
        assert all(machine(worker, number, clock) for number in numbers)
        asked.clear()
        with worker.store.read() as uow:
            found = page_of(uow, MOST, None).items
        spent.append(len(asked))
    assert spent[0] == spent[1] <= most, asked
    assert [len(one.drifts) for one in found] == [1] * 12
    assert [one.drifts[0].p50_s for one in found] == pytest.approx([0.01 * number for number in range(1, 13)])
    assert [one.drifts[0].earlier for one in found] == [2] * 12


def test_each_job_stands_with_the_worker_that_has_it(worker, clock):
    for number in (1, 2, 3):
        machine(worker, number, clock)
    assert {name: [job.study for job in view.jobs] for name, view in told(worker).items()} == {
        f"w-{number:02}": [f"study-{number:02}"] for number in (1, 2, 3)
    }
