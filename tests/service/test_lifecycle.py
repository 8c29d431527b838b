import json

import pytest

from protocol.changes import ExtendStudy
from protocol.jobs import Command, CurvePoint, FailureReason, JobKind, Progress, Report
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from service.errors import InvalidError, LeaseLostError, NotFoundError, StudyEndedError, StudyRunningError
from service.operations import lifecycle
from service.operations.supply import end_search
from service.operations.trials import add_trial
from service.store.tables import Table


def change(worker, what, *arguments, name="demo"):
    with worker.store.write() as uow:
        getattr(lifecycle, f"{what}_study")(uow, name, *arguments)


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def add(worker, count):
    """Trials of different shapes."""
    with worker.store.write() as uow:
        study = uow.studies.lock(uow.studies.find("demo").id)
        base = uow.trials.of(study.id)[0].architecture
        for width in range(count):
            shape = type(base)(**{**base.to_dict(), "ffn_size": 200 + width})
            add_trial(uow, study, shape, "test")


def ended(worker, **changes):
    """A study of one trial, and so with one finalist."""
    searching(worker, budget={"trials": 1, "finalists": 1}, **changes)
    worker.work()
    finalize(worker)


def finalize(worker):
    with worker.store.write() as uow:
        study = uow.studies.find("demo")
        attempt = uow.studies.lease_suggester(study.id, "s", uow.now, 10.0)
        end_search(uow, study.id, attempt)
        uow.studies.renew_suggester(study.id, attempt, None)
    worker.work()


def test_stopped_study_gives_no_jobs_and_tells_who_works_on_one(worker, clock):
    searching(worker)
    grant = worker.lease()
    worker.renew(grant, progress=Progress(stage="s", done=1, total=2))
    change(worker, "stop")
    study = worker.study()
    assert (study.state, study.stopped_from, study.jobs) == (StudyState.STOPPED, StudyState.SEARCHING, ())
    assert study.ended_at is None
    assert study.remaining_s is None
    assert [trial.state for trial in worker.trials()] == [TrialState.PENDING]
    assert worker.lease() is None
    assert worker.renew(grant).command is Command.CANCEL
    clock.advance(100)
    assert worker.lease() is None


@pytest.mark.parametrize("kind", [JobKind.PREPARE, JobKind.CALIBRATE, JobKind.MEASURE, JobKind.DISTILL])
def test_resumed_study_goes_on_with_the_jobs_that_it_had(worker, kind):
    worker.create()
    while (grant := worker.lease()).work.kind is not kind:
        worker.report(grant)
    before = worker.study()
    change(worker, "stop")
    change(worker, "stop")
    change(worker, "resume")
    change(worker, "resume")
    study = worker.study()
    assert (study.state, study.stopped_from) == (before.state, None)
    (job,) = study.jobs
    assert (job.kind, job.state) == (kind, "queued")
    again = worker.lease()
    assert (again.job, again.attempt) == (grant.job, 2)
    worker.report(again)


def test_resumed_distillation_goes_on_from_its_checkpoint(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    grant = worker.lease()
    worker.renew(grant, checkpoint=worker.artefact("checkpoint"), curve=(CurvePoint(step=5, value=0.5),))
    change(worker, "stop")
    change(worker, "resume")
    assert worker.lease().work.checkpoint == worker.artefact("checkpoint")


def test_finalists_of_a_stopped_study_go_on(worker):
    searching(worker, budget={"trials": 1, "finalists": 1})
    worker.work()
    with worker.store.write() as uow:
        attempt = uow.studies.lease_suggester(1, "s", uow.now, 10.0)
        end_search(uow, 1, attempt)
    worker.lease()
    change(worker, "stop")
    assert worker.study().stopped_from is StudyState.FINALIZING
    change(worker, "resume")
    assert worker.study().state is StudyState.FINALIZING
    worker.work()
    assert worker.study().state is StudyState.COMPLETED


def test_stopping_costs_no_attempt(worker, settings):
    worker.create()
    for _ in range(settings.max_attempts + 1):
        assert worker.lease() is not None
        change(worker, "stop")
        change(worker, "resume")
    worker.fail(worker.lease())
    assert worker.study().state is StudyState.PREPARING
    assert worker.lease() is not None


def test_what_ended_before_the_stop_stays_ended(worker):
    """The clock stands still: all happens at one instant."""
    searching(worker)
    add(worker, 1)
    grant = worker.lease()
    worker.fail(grant, FailureReason.INVALID)
    change(worker, "stop")
    change(worker, "resume")
    assert [trial.state for trial in worker.trials()] == [TrialState.FAILED, TrialState.PENDING]
    assert len(worker.study().jobs) == 1


@pytest.mark.parametrize("after", ["stop", "resume"])
def test_late_report_for_a_stopped_study_is_refused_and_nothing_is_lost(worker, after):
    searching(worker)
    grant = worker.lease()
    worker.report(grant)
    known = worker.trials()[0].metrics
    late = worker.lease()
    change(worker, "stop")
    if after == "resume":
        change(worker, "resume")
    with pytest.raises(LeaseLostError):
        worker.report(late)
    assert worker.trials()[0].metrics == known
    if after == "resume":
        worker.report(worker.lease())
        assert worker.trials()[0].state is TrialState.COMPLETED


def test_suggester_leaves_a_stopped_study_alone(worker, clock):
    searching(worker)
    change(worker, "stop")
    with worker.store.write() as uow:
        assert uow.studies.lease_suggester(1, "s", uow.now, 10.0) is None


@pytest.mark.parametrize("what", ["stop", "resume"])
def test_study_that_has_ended_is_neither_stopped_nor_resumed(worker, what):
    ended(worker)
    assert worker.study().state is StudyState.COMPLETED
    with pytest.raises(StudyEndedError):
        change(worker, what)


def test_completed_study_is_extended_and_keeps_its_finalists(worker):
    ended(worker)
    change(worker, "extend", ExtendStudy(trials=3))
    study = worker.study()
    assert (study.state, study.ended_at, study.spec.budget.trials) == (StudyState.SEARCHING, None, 3)
    assert study.finalists == {"completed": 1}
    before = worker.trials()[0].finalist
    add(worker, 2)
    worker.work()
    finalize(worker)
    assert worker.study().state is StudyState.COMPLETED
    assert worker.trials()[0].finalist == before
    assert sum(trial.finalist is not None for trial in worker.trials()) == 2


def test_extended_study_without_anything_better_completes_again(worker):
    ended(worker)
    change(worker, "extend", ExtendStudy(finalists=2))
    finalize(worker)
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.ended_at is not None


def test_study_that_is_extended_while_it_finalizes_searches_on(worker):
    searching(worker, budget={"trials": 1, "finalists": 1})
    worker.work()
    with worker.store.write() as uow:
        end_search(uow, 1, uow.studies.lease_suggester(1, "s", uow.now, 10.0))
    change(worker, "extend", ExtendStudy(trials=2))
    worker.work()
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    assert study.finalists == {"completed": 1}


def test_extended_study_is_still_the_one_that_was_created(worker, spec):
    searching(worker)
    change(worker, "extend", ExtendStudy(trials=8))
    assert not worker.create()
    budget = {**StudySpec.model_validate(spec).budget.model_dump(mode="json"), "trials": 8}
    assert not worker.create(budget=budget)


@pytest.mark.parametrize("totals", [{"trials": 6}, {"trials": 8, "finalists": 1}])
def test_totals_that_are_not_larger_are_refused_by_name(worker, totals):
    searching(worker)
    name = list(totals)[-1]
    with pytest.raises(InvalidError, match=f"^{name}: must be above"):
        change(worker, "extend", ExtendStudy(**totals))
    assert worker.study().spec.budget.trials == 6


def spend(worker, clock, hours):
    """A study of at most an hour of devices, completed after so many."""
    searching(worker, budget={"trials": 6, "finalists": 1, "device_hours": 1})
    grant = worker.lease()
    clock.advance(3600 * hours)
    worker.report(grant)
    worker.finish({})
    assert worker.study().state is StudyState.COMPLETED
    return len(worker.trials())


def test_study_whose_device_hours_are_used_up_goes_on_with_more(worker, clock):
    before = spend(worker, clock, hours=1.5)
    assert before < 6
    change(worker, "extend", ExtendStudy(device_hours=2))
    study = worker.study()
    assert (study.state, study.spec.budget.device_hours) == (StudyState.SEARCHING, 2)
    worker.finish({})
    study = worker.study()
    assert (study.state, len(worker.trials())) == (StudyState.COMPLETED, 6)


@pytest.mark.parametrize("totals", [{"device_hours": 1.25}, {"trials": 8}, {"trials": 8, "finalists": 2}])
def test_more_trials_without_hours_for_them_are_refused(worker, clock, totals):
    before = spend(worker, clock, hours=1.5)
    with pytest.raises(InvalidError, match=r"^device_hours: 1.5 of 1(\.25)? are spent already, name a larger total$"):
        change(worker, "extend", ExtendStudy(**totals))
    assert (worker.study().state, len(worker.trials())) == (StudyState.COMPLETED, before)
    change(worker, "extend", ExtendStudy(finalists=2))
    worker.finish({})
    assert worker.study().state is StudyState.COMPLETED


def test_device_hours_that_the_study_does_not_bound_are_refused(worker):
    searching(worker)
    with pytest.raises(InvalidError, match=r"^device_hours: the study's budget has no such limit$"):
        change(worker, "extend", ExtendStudy(device_hours=2))


def test_device_hours_are_extended_over_http(http, http_worker, spec, clock):
    spec["budget"]["device_hours"] = 1
    assert http.post("/v1/studies", json={"spec": spec}).is_success
    grant = http_worker.lease()
    clock.advance(3600)
    report = Report(attempt=grant.attempt, result=http_worker.answers.to(grant.work))
    assert http_worker.post(grant, "report", report).is_success
    refused = http.post("/v1/studies/demo:extend", json={"device_hours": 1})
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "device_hours: must be above the 1 that the study has already, got 1",
    )
    extended = http.post("/v1/studies/demo:extend", json={"device_hours": 1.5})
    assert extended.json()["spec"]["budget"]["device_hours"] == 1.5
    assert http_worker.work() > 0


def test_failed_study_is_not_extended(worker):
    worker.create(constraints=["latency_p50 <= 0.5 ms"])
    worker.work()
    with pytest.raises(StudyEndedError):
        change(worker, "extend", ExtendStudy(trials=100))


def rows(worker):
    with worker.store.read() as uow:
        return {
            table.name: uow._session.execute(table.select()).all()
            for table in Table.metadata.sorted_tables
            if table.name not in ("artefacts", "workers", "events")
        }


def test_deleted_study_leaves_nothing_of_itself_and_all_of_others(worker):
    worker.create(name="other")
    worker.work()
    others = rows(worker)
    ended(worker)
    change(worker, "delete")
    assert rows(worker) == others
    with pytest.raises(NotFoundError):
        worker.study()
    assert worker.create()


def test_running_study_is_not_deleted(worker):
    searching(worker)
    with pytest.raises(StudyRunningError):
        change(worker, "delete")
    change(worker, "stop")
    change(worker, "delete")
    with pytest.raises(NotFoundError):
        worker.study()


def test_late_report_of_a_deleted_study_meets_no_job_of_another_one(worker):
    """Their numbers are never given again."""
    worker.create()
    late = worker.lease()
    change(worker, "stop")
    change(worker, "delete")
    worker.create(name="next")
    new = worker.lease()
    assert new.job != late.job
    with pytest.raises(NotFoundError):
        worker.report(late)
    with pytest.raises(NotFoundError):
        worker.renew(late)
    assert worker.study("next").state is StudyState.PREPARING


def test_lifecycle_over_http(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    stopped = http.post("/v1/studies/demo:stop")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    assert http.post("/v1/studies/demo:resume").json()["state"] == "preparing"
    extended = http.post("/v1/studies/demo:extend", json={"trials": 9})
    assert extended.json()["spec"]["budget"]["trials"] == 9
    refused = http.delete("/v1/studies/demo")
    assert (refused.status_code, refused.json()["code"]) == (409, "study_running")
    for body in ({}, {"trials": 2}, {"colour": 1}, {"device_hours": -1}):
        refused = http.post("/v1/studies/demo:extend", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), json.dumps(body)
    http.post("/v1/studies/demo:stop")
    assert http.delete("/v1/studies/demo").status_code == 204
    assert http.get("/v1/studies/demo").status_code == 404
    assert http.post("/v1/studies/demo:stop").status_code == 404
