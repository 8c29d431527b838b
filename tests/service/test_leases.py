import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from protocol.jobs import (
    PROTOCOL_VERSION,
    Command,
    FailureReason,
    JobKind,
    JobState,
    LeaseRequest,
    Measured,
    Progress,
    Renewal,
)
from protocol.views import StudyState, TrialState
from service.errors import (
    InvalidError,
    LeaseLostError,
    NotFoundError,
    StoreUnavailableError,
    UnknownArtefactError,
    UpgradeNeededError,
)
from service.operations.jobs import has_nothing, renew, sweep
from service.operations.trials import add_trial
from service.store.unit_of_work import Store
from service.store.workers import NOTED_EVERY


def searching(worker, **changes):
    """A study whose search has begun: its baseline waits to be measured."""
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def job_state(worker, identity):
    with worker.store.read() as uow:
        return uow.jobs.get(identity).state


def test_oldest_job_is_granted_first_and_once(worker):
    worker.create(name="first")
    worker.create(name="second")
    assert [worker.lease().study for _ in range(2)] == ["first", "second"]
    assert worker.lease() is None


def test_grant_says_what_to_do_and_until_when(worker, clock, settings):
    worker.create()
    grant = worker.lease()
    assert grant.work.kind is JobKind.PREPARE
    assert (grant.attempt, grant.trial, grant.lease_s) == (1, None, settings.lease_s)
    assert (grant.expires_at - clock()).total_seconds() == settings.lease_s


def test_worker_is_given_only_what_it_can_do(worker):
    searching(worker)
    assert worker.lease(kinds=(JobKind.DISTILL,)) is None
    assert worker.lease(targets=()) is None
    assert worker.lease(targets=("cuda/torch",)) is None
    assert worker.lease(kinds=(JobKind.MEASURE,)).work.kind is JobKind.MEASURE


@pytest.mark.parametrize(("version", "who"), [(0, "worker"), (99, "service")])
def test_other_protocol_version_is_told_who_must_upgrade(worker, version, who):
    with pytest.raises(UpgradeNeededError, match=f"upgrade the {who}"):
        worker.lease(protocol_version=version)


def test_renewed_lease_outlives_its_first_deadline(worker, clock):
    worker.create()
    grant = worker.lease()
    clock.advance(20)
    renewed = worker.renew(grant, progress=Progress(stage="training", done=5, total=10))
    assert renewed.command is Command.CONTINUE
    assert (renewed.expires_at - clock()).total_seconds() == 30
    clock.advance(20)
    assert worker.lease("other") is None
    assert worker.study().jobs[0].progress == Progress(stage="training", done=5, total=10)


def test_expired_lease_returns_job_to_queue(worker, clock):
    worker.create()
    worker.lease("first")
    clock.advance(30)
    again = worker.lease("second")
    assert again.attempt == 2
    assert worker.study().jobs[0].worker == "second"


def test_sweep_ends_expired_leases_without_anybody_asking(worker, clock):
    worker.create()
    worker.lease()
    for expected in (0, 1):
        with worker.store.write() as uow:
            assert sweep(uow, worker.settings) == expected
        clock.advance(30)
    assert worker.study().jobs[0].state is JobState.QUEUED


def test_late_renewal_counts_while_nobody_else_has_the_job(worker, clock):
    worker.create()
    grant = worker.lease()
    clock.advance(100)
    assert worker.renew(grant).command is Command.CONTINUE
    worker.report(grant)


@pytest.mark.parametrize("call", ["renew", "report", "release"])
def test_stale_attempt_is_refused(worker, clock, call):
    worker.create()
    stale = worker.lease()
    clock.advance(31)
    fresh = worker.lease("other")
    with pytest.raises(LeaseLostError, match="attempt 1 no longer has job"):
        getattr(worker, call)(stale)
    worker.report(fresh)


@pytest.mark.parametrize("call", ["renew", "report"])
def test_attempt_is_refused_after_its_lease_was_swept(worker, clock, call):
    worker.create()
    grant = worker.lease()
    clock.advance(31)
    with worker.store.write() as uow:
        sweep(uow, worker.settings)
    with pytest.raises(LeaseLostError):
        getattr(worker, call)(grant)


@pytest.fixture
def unanswered(worker, clock, database_url, monkeypatch):
    """A worker, its lease that ended 10 s ago, and a database that has just refused to renew it."""
    if not database_url.startswith("sqlite"):
        pytest.skip("a database that everybody waits for is one of SQLite")
    monkeypatch.setattr("service.store.engine.BUSY_TIMEOUT_S", 0.05)
    store = Store(database_url, clock)
    stopped = type(worker)(store, worker.settings, worker.answers)
    stopped.create()
    grant = stopped.lease()
    clock.advance(40)
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError):
            stopped.renew(grant)
        other.execute("ROLLBACK")
    yield stopped, grant
    store.close()


def test_leases_that_could_not_be_renewed_are_spared_for_one_lease_length(unanswered, clock):
    worker, grant = unanswered
    assert worker.lease("other") is None
    clock.advance(29)
    with worker.store.write() as uow:
        assert sweep(uow, worker.settings) == 0
    worker.renew(grant)
    clock.advance(31)
    assert worker.lease("other").attempt == 2


def test_lease_of_a_worker_that_is_gone_ends_one_lease_length_after_the_database_came_back(unanswered, clock):
    worker, _ = unanswered
    clock.advance(30)
    assert worker.lease("other").attempt == 2


def test_job_fails_when_its_lease_expired_too_often(worker, clock):
    worker.create()
    for attempt in (1, 2, 3):
        assert worker.lease().attempt == attempt
        clock.advance(31)
    assert worker.lease() is None
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "lease_expired" in study.error
    assert study.jobs == ()


def test_release_queues_the_job_at_once_and_does_not_count(worker):
    worker.create()
    for _ in range(5):
        worker.release(worker.lease())
    grant = worker.lease()
    assert grant.attempt == 6
    worker.fail(grant)
    worker.fail(worker.lease())
    assert worker.study().state is StudyState.PREPARING
    worker.fail(worker.lease())
    assert worker.study().state is StudyState.FAILED


def test_repeated_release_changes_nothing(worker):
    worker.create()
    grant = worker.lease()
    worker.release(grant)
    worker.release(grant)
    assert worker.lease().attempt == 2


def test_repeated_report_is_answered_again_and_counts_once(worker):
    worker.create()
    grant = worker.lease()
    worker.report(grant)
    worker.report(grant)
    assert [job.kind for job in worker.study().jobs] == [JobKind.CALIBRATE]


def test_repeated_failure_is_answered_again_after_the_job_was_queued(worker):
    worker.create()
    grant = worker.lease()
    worker.fail(grant)
    worker.fail(grant)
    assert worker.lease().attempt == 2
    worker.fail(grant)


def test_another_report_of_a_done_job_is_refused(worker):
    worker.create()
    grant = worker.lease()
    worker.report(grant)
    with pytest.raises(LeaseLostError):
        worker.fail(grant)


def test_failure_that_no_retry_mends_ends_the_job_at_once(worker):
    worker.create()
    worker.fail(worker.lease(), FailureReason.INVALID, "no such column: 'label'")
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "no such column: 'label'" in study.error


def test_message_with_a_character_that_no_database_takes_is_stored(worker):
    worker.create()
    worker.fail(worker.lease(), FailureReason.INVALID, "not\0text")
    assert "not\ufffdtext" in worker.study().error


def test_checkpoint_travels_to_the_next_attempt(worker, clock):
    searching(worker)
    worker.work(JobKind.MEASURE)
    grant = worker.lease()
    assert grant.work.checkpoint is None
    worker.renew(grant, checkpoint=worker.artefact("checkpoint"))
    clock.advance(31)
    assert worker.lease().work.checkpoint == worker.artefact("checkpoint")


def test_checkpoint_of_a_release_travels_too(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    worker.release(worker.lease(), checkpoint=worker.artefact("checkpoint"))
    assert worker.lease().work.checkpoint == worker.artefact("checkpoint")


def test_artefact_that_was_never_uploaded_is_refused(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    grant = worker.lease()
    with pytest.raises(UnknownArtefactError, match=worker.artefact("nowhere")):
        worker.renew(grant, checkpoint=worker.artefact("nowhere"))
    outcome = worker.answers.to(grant.work).model_copy(update={"weights": worker.artefact("nowhere")})
    with pytest.raises(UnknownArtefactError):
        worker.report(grant, outcome)
    assert job_state(worker, grant.job) is JobState.LEASED


def test_outcome_of_another_kind_is_refused_and_nothing_is_stored(worker):
    searching(worker)
    grant = worker.lease()
    outcome = worker.answers.prepared()
    with pytest.raises(InvalidError, match="kind"):
        worker.report(grant, outcome)
    assert job_state(worker, grant.job) is JobState.LEASED
    worker.report(grant)


def test_number_that_is_not_finite_is_refused(worker):
    searching(worker)
    grant = worker.lease()
    outcome = worker.answers.to(grant.work)
    with pytest.raises(InvalidError, match="not finite"):
        worker.report(grant, Measured(measurement=replace(outcome.measurement, load_s=float("nan"))))
    assert job_state(worker, grant.job) is JobState.LEASED


def test_worker_on_a_job_that_is_no_longer_wanted_is_told_when_it_renews(worker):
    searching(worker, baselines={"a": shape(16), "b": shape(32)})
    first, second = worker.lease(), worker.lease()
    for number in range(6):  # so many trials fail that the study is given up
        with worker.store.write() as uow:
            study = uow.studies.lock(1)
            add_trial(uow, study, replace(worker.answers.teacher, layers=1, ffn_size=100 + number), "test")
        worker.fail(worker.lease(), FailureReason.DIVERGED)
        if worker.study().state is StudyState.FAILED:
            break
    assert worker.renew(first).command is Command.CANCEL
    with pytest.raises(LeaseLostError):
        worker.report(first)
    worker.release(second)
    assert {trial.state for trial in worker.trials()} == {TrialState.FAILED, TrialState.STOPPED}


def test_trial_is_measuring_only_while_its_job_is_leased(worker, clock):
    searching(worker)
    states = [worker.trials()[0].state]
    worker.lease()
    states.append(worker.trials()[0].state)
    clock.advance(31)
    with worker.store.write() as uow:
        sweep(uow, worker.settings)
    states.append(worker.trials()[0].state)
    assert states == [TrialState.PENDING, TrialState.MEASURING, TrialState.PENDING]


def test_unknown_job_is_named(worker):
    with pytest.raises(NotFoundError, match="no job 7"), worker.store.write() as uow:
        renew(uow, worker.settings, 7, Renewal(attempt=1))


def test_workers_that_ask_at_once_never_share_a_job(worker):
    for number in range(24):
        worker.create(name=f"study-{number}")

    def take(name):
        taken = []
        while (grant := worker.lease(name)) is not None:
            taken.append(grant.job)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(take, [f"w{number}" for number in range(6)]) for job in jobs]
    assert sorted(taken) == list(range(1, 25))


def nothing(worker, /, **changes):
    with worker.store.read() as uow:
        given = {"worker": "w", "kinds": (JobKind.MEASURE,), "targets": ("cpu/torch",)}
        return has_nothing(uow, LeaseRequest(**{"protocol_version": PROTOCOL_VERSION, **given, **changes}))


def test_a_look_tells_a_lease_that_would_do_nothing(worker, clock):
    worker.create()
    assert not nothing(worker)  # the worker is new
    assert worker.lease(kinds=(JobKind.MEASURE,)) is None
    assert nothing(worker)
    assert not nothing(worker, kinds=(JobKind.PREPARE,))  # the worker can do something else now, and it waits
    assert not nothing(worker, protocol_version=1)
    reading = {"target": "cpu/torch", "hardware_key": "k", "p50_s": 1e-3, "disturbed": False, "tolerance": 0.1}
    assert not nothing(worker, readings=[{**reading, "measured_at": clock.now}])
    assert not nothing(worker, targets=())
    clock.advance(NOTED_EVERY.total_seconds())
    assert not nothing(worker)  # that it is there is to be written down


def test_a_look_tells_what_a_lease_would_grant(worker, clock):
    worker.settings = replace(worker.settings, lease_s=5)  # shorter than for what workers are noted again
    worker.create()
    assert worker.lease("other", kinds=(JobKind.MEASURE,)) is None
    asked = {"worker": "w", "kinds": (JobKind.PREPARE,), "request": "a-request"}
    grant = worker.lease(**asked)
    assert not nothing(worker, **asked)  # its answer may have been lost
    assert nothing(worker, **{**asked, "request": "another-one"})
    assert nothing(worker, worker="other")
    worker.release(grant)
    assert not nothing(worker, **{**asked, "request": "another-one"})
    worker.lease(**{**asked, "request": "another-one"})
    assert nothing(worker, worker="other")
    clock.advance(6)
    assert not nothing(worker, worker="other")  # a lease is to be swept


def test_reports_that_arrive_at_once_all_count(worker):
    searching(worker, baselines={f"b{number}": shape(8 * number) for number in range(1, 9)})
    worker.work(JobKind.MEASURE)
    grants = [worker.lease() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(worker.report, grants))
    assert worker.study().trials == {"completed": 8}


def shape(ffn_size):
    return {"layers": 1, "hidden_size": 32, "heads": 2, "head_size": 16, "ffn_size": ffn_size}
