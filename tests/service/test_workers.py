"""What is told of workers: whether they are alive, and what they are busy with."""

from protocol.jobs import JobKind, Progress, Renewal
from service.operations import jobs
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
