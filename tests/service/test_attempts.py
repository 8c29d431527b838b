"""What is kept of attempts, whose turn it is, and requests whose answers get lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from protocol.early_stop import EarlyStop
from protocol.jobs import AttemptEnd, FailureReason, JobKind, Progress, Stopped
from protocol.views import StudyState, TrialState
from service.errors import BusyError, LeaseLostError
from service.operations.early_stopping import decide_stop
from service.operations.failures import fail_study
from service.operations.jobs import sweep
from service.store.attempts import MOST_STALE


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def shape(ffn_size):
    return {"layers": 1, "hidden_size": 32, "heads": 2, "head_size": 16, "ffn_size": ffn_size}


def baselines(count):
    return {f"b{number}": shape(8 * number) for number in range(1, count + 1)}


def ends(worker, job):
    return [attempt.reason for attempt in worker.job(job).attempts]


def swept(worker):
    with worker.store.write() as uow:
        return sweep(uow, worker.settings)


# --- history


def test_history_says_who_had_the_job_and_how_each_attempt_ended(worker, clock):
    worker.create()
    start = clock()
    first = worker.lease("first")
    clock.advance(5)
    worker.release(first)
    worker.lease("second")
    clock.advance(100)
    swept(worker)
    third = worker.lease("third")
    clock.advance(7)
    worker.report(third)
    seen = worker.job(first.job)
    assert [(one.worker, one.reason, one.seconds) for one in seen.attempts] == [
        ("first", AttemptEnd.RELEASED, 5),
        ("second", AttemptEnd.LEASE_EXPIRED, 30),  # until its deadline, however late that was noticed
        ("third", AttemptEnd.DONE, 7),
    ]
    assert seen.attempts[0].leased_at == start
    assert seen.attempts[1].message.startswith("the lease of worker second ended")
    assert (seen.failures, seen.released, seen.state) == (1, 1, "done")


def test_running_attempt_has_no_end(worker):
    worker.create()
    (attempt,) = worker.job(worker.lease().job).attempts
    assert (attempt.reason, attempt.ended_at, attempt.seconds) == (None, None, None)


@pytest.mark.parametrize("reason", [FailureReason.ERROR, FailureReason.INVALID, FailureReason.DIVERGED])
def test_reported_failure_is_the_attempt_s_end(worker, reason):
    worker.create()
    grant = worker.lease()
    worker.fail(grant, reason, "it broke")
    (attempt,) = worker.job(grant.job).attempts
    assert (attempt.reason, attempt.message) == (AttemptEnd(reason), "it broke")


def test_attempt_that_found_its_trial_infeasible_says_so(worker):
    searching(worker, constraints=["latency_p50 <= 4 ms"])
    worker.answers.latency_s = lambda architecture: 5e-3
    grant = worker.lease()
    worker.report(grant)
    assert worker.trials()[0].state is TrialState.INFEASIBLE
    assert ends(worker, grant.job) == [AttemptEnd.INFEASIBLE]


def test_training_that_was_told_to_stop_is_no_failure(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    grant = worker.lease()
    with worker.store.write() as uow:
        trial = uow.trials.get(uow.jobs.get(grant.job).trial_id)
        trial.origin = "sobol"
        stop = EarlyStop(
            step=50,
            steps=200,
            current=0.5,
            expected=0.6,
            variance=0.01,
            optimistic=0.7,
            curves=8,
            dominated_by=None,
            reason="dominated",
            decided_at=uow.now,
        )
        assert decide_stop(uow, trial.study_id, grant.job, stop)
    worker.report(grant, Stopped(progress=Progress(stage="distilling", done=60, total=200)))
    assert ends(worker, grant.job) == [AttemptEnd.STOPPED_EARLY]


def test_attempts_at_jobs_that_nobody_wants_any_more_are_cancelled(worker, clock):
    searching(worker, baselines=baselines(2))
    grant = worker.lease()
    clock.advance(3)
    with worker.store.write() as uow:
        fail_study(uow, uow.studies.lock(1), "enough", FailureReason.ERROR)
    (attempt,) = worker.job(grant.job).attempts
    assert (attempt.reason, attempt.seconds) == (AttemptEnd.CANCELLED, 3)
    clock.advance(100)
    worker.release(grant)
    assert ends(worker, grant.job) == [AttemptEnd.CANCELLED]


def test_outcome_that_fails_its_study_is_done_all_the_same(worker):
    worker.create(constraints=["parameters >= 1e9"], search_space="bert")
    grant = worker.lease()
    worker.report(grant)
    assert worker.study().state is StudyState.FAILED
    assert ends(worker, grant.job) == [AttemptEnd.DONE]


# --- writes that are refused


def test_refused_write_is_kept_with_what_it_said(worker, clock):
    worker.create()
    stale = worker.lease("slow")
    clock.advance(31)
    fresh = worker.lease("quick")
    with pytest.raises(LeaseLostError):
        worker.report(stale)
    with pytest.raises(LeaseLostError):
        worker.renew(stale, progress=Progress(stage="still at it"))
    seen = worker.job(stale.job)
    assert seen.refused == 2
    assert [(one.call, one.attempt, one.job_attempt, one.worker) for one in seen.stale_writes] == [
        ("report", 1, 2, "slow"),
        ("renewal", 1, 2, "slow"),
    ]
    assert worker.answers.prepared().data in seen.stale_writes[0].said
    assert "still at it" in seen.stale_writes[1].said
    worker.report(fresh)
    assert worker.job(stale.job).attempts[1].reason is AttemptEnd.DONE


def test_as_many_refused_writes_are_kept_as_there_is_room_for(worker, clock):
    worker.create()
    stale = worker.lease()
    clock.advance(31)
    worker.lease()
    for number in range(MOST_STALE + 3):
        with pytest.raises(LeaseLostError):
            worker.renew(stale, number=number)
    seen = worker.job(stale.job)
    assert (seen.refused, len(seen.stale_writes)) == (MOST_STALE + 3, MOST_STALE)
    assert '"number":3' in seen.stale_writes[0].said


def test_release_of_a_lease_that_was_swept_is_refused(worker, clock):
    worker.create()
    grant = worker.lease()
    clock.advance(31)
    swept(worker)
    with pytest.raises(LeaseLostError):
        worker.release(grant)
    assert worker.job(grant.job).released == 0


def test_release_may_be_repeated_when_somebody_else_has_the_job(worker):
    worker.create()
    grant = worker.lease()
    worker.release(grant)
    worker.lease("other")
    worker.release(grant)
    assert worker.job(grant.job).worker == "other"
    assert worker.job(grant.job).refused == 0


def test_renewal_that_was_overtaken_stores_nothing(worker):
    worker.create()
    grant = worker.lease()
    worker.renew(grant, number=2, progress=Progress(stage="training", done=9, total=10))
    worker.renew(grant, number=1, progress=Progress(stage="training", done=4, total=10))
    assert worker.job(grant.job).progress.done == 9


# --- requests whose answers get lost


def test_same_request_gets_the_same_job_with_a_whole_lease(worker, clock):
    worker.create(name="first")
    worker.create(name="second")
    grant = worker.lease(request="request-1")
    clock.advance(10)
    again = worker.lease(request="request-1")
    assert (again.job, again.attempt, again.work) == (grant.job, grant.attempt, grant.work)
    assert (again.expires_at - clock()).total_seconds() == 30
    assert len(worker.job(grant.job).attempts) == 1


@pytest.mark.parametrize("how", ["report", "release", "expiry"])
def test_request_that_was_granted_never_gets_a_second_job(worker, clock, how):
    worker.create(name="first")
    worker.create(name="second")
    grant = worker.lease(request="request-1")
    if how == "expiry":
        clock.advance(31)
        swept(worker)
    else:
        getattr(worker, how)(grant)
    assert worker.lease(request="request-1") is None
    assert worker.lease(request="request-2") is not None


def test_request_of_another_worker_gets_nothing_of_it(worker):
    worker.create()
    worker.lease("mine", request="request-1")
    assert worker.lease("theirs", request="request-1") is None


def test_one_request_that_arrives_several_times_at_once_takes_one_job(worker):
    for number in range(8):
        worker.create(name=f"study-{number}")

    def ask(_):
        try:
            return worker.lease(request="request-1")
        except BusyError:
            return None

    with ThreadPoolExecutor(8) as pool:
        grants = [grant for grant in pool.map(ask, range(8)) if grant is not None]
    assert len({grant.job for grant in grants}) == 1
    assert worker.lease(request="request-1").job == grants[0].job
    with worker.store.read() as uow:
        assert sum(demand.count for demand in uow.jobs.demands()) == 7


# --- whose turn it is


def test_job_that_failed_goes_behind_the_fresh_ones_of_its_study(worker, clock):
    searching(worker, baselines=baselines(3))
    poison = worker.lease()
    worker.fail(poison)
    order = [worker.lease().job for _ in range(3)]
    assert order == [poison.job + 1, poison.job + 2, poison.job]
    clock.advance(31)  # now every one has failed once more, and this one twice
    assert [worker.lease().job for _ in range(3)] == [poison.job + 1, poison.job + 2, poison.job]


def test_job_that_was_given_back_keeps_its_place(worker):
    searching(worker, baselines=baselines(2))
    first = worker.lease()
    worker.release(first)
    assert worker.lease().job == first.job


def test_study_of_higher_priority_goes_first(worker):
    worker.create(name="low")
    worker.create(name="high", priority=5)
    worker.create(name="negative", priority=-1)
    assert [worker.lease().study for _ in range(3)] == ["high", "low", "negative"]


def test_equal_studies_share_the_workers(worker):
    for name in ("first", "second"):
        worker.create(name=name, baselines=baselines(3))
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    grants = [worker.lease() for _ in range(6)]
    assert [grant.study for grant in grants] == ["first", "second"] * 3
    worker.report(grants[1])
    worker.report(grants[3])
    assert [worker.lease().study for _ in range(2)] == ["second"] * 2


def test_turn_passes_to_a_study_whose_jobs_the_worker_can_do(worker):
    worker.create(name="high", priority=5)
    searching_jobs = worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.create(name="low")
    assert searching_jobs
    assert worker.lease(kinds=(JobKind.PREPARE,)).study == "low"


def test_workers_that_ask_at_once_are_given_what_there_is(worker):
    searching(worker, baselines=baselines(12), priority=3)
    worker.create(name="other")

    def take(name):
        taken = []
        while (grant := worker.lease(name)) is not None:
            taken.append(grant.job)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(take, [f"w{number}" for number in range(6)]) for job in jobs]
    assert len(taken) == len(set(taken)) == 13
