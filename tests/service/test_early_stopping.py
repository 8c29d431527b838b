"""Early stopping, from a curve's points to a stopped trial; on both stores."""

from contextlib import contextmanager, nullcontext

import pytest

from optimization.strategy import Standing
from protocol.jobs import (
    Command,
    CurvePoint,
    Distilled,
    DistillWork,
    FailureReason,
    JobKind,
    MeasureWork,
    Progress,
    Stopped,
)
from protocol.views import StudyState, TrialState
from service.errors import InvalidError, LeaseLostError
from service.operations.lifecycle import delete_study, stop_study
from service.operations.supply import read_supply, space_of
from service.suggester import Suggester
from tests.databases import rows_of, write_rows

STEPS = 200
TRAINING = (JobKind.MEASURE, JobKind.DISTILL)


@pytest.fixture
def suggester(store):
    return Suggester(store, nullcontext)


def curve(final, share=1.0):
    """Rises to its end by 0.1 in each quarter: nothing else is to be expected of such a study."""
    return tuple(
        CurvePoint(step=STEPS * quarter // 4, value=final - 0.1 * (4 - quarter))
        for quarter in range(1, 5)
        if quarter <= 4 * share
    )


def outcome(worker, final):
    score = {"value": final, "low": final - 0.01, "high": final + 0.01}
    weights = worker.artefact("weights")
    return Distilled(selection=score, curve=curve(final), steps=STEPS, seconds=3.0, weights=weights)


MADE = {}
"""The rows of each study that was searched, by its kind and that of its database."""


def searched(worker, suggester, trials=9, **changes):
    """A study with so many completed trials, the later the faster and the better; made once of each kind."""
    engine = worker.store._engine
    kind = (engine.dialect.name, trials, repr(changes))
    if kind in MADE:
        write_rows(engine, MADE[kind])
    else:
        search(worker, suggester, trials, changes)
        MADE[kind] = rows_of(engine)
    worker.answers.latency_s = lambda _: latency_s(trials - 1)


def latency_s(trial):
    return 9e-3 - 5e-4 * trial


def search(worker, suggester, trials, changes):
    given = {
        "early_stopping": True,
        "budget": {"trials": 14, "finalists": 1, "parallel": 2, "flash_floor": 200},
    } | changes
    worker.create(**given)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    done = 0
    while done < trials:
        suggester.step()
        grant = worker.lease(kinds=TRAINING)
        if isinstance(grant.work, MeasureWork):
            took_s = latency_s(done)
            worker.answers.latency_s = lambda _, s=took_s: s
            worker.report(grant)
        else:
            worker.report(grant, outcome(worker, 0.70 + 0.01 * done))
            done += 1


def training(worker, suggester, latency_s=8e-3):
    """The grant of the next distillation, of a trial of this latency."""
    worker.answers.latency_s = lambda _: latency_s
    while True:
        suggester.step()
        grant = worker.lease(kinds=TRAINING)
        if isinstance(grant.work, DistillWork):
            return grant
        worker.report(grant)


def trial(worker, grant):
    return next(one for one in worker.trials() if one.number == grant.trial)


def hopeless(worker, suggester):
    """A slow trial whose quarter says that it will end at 0.55; the grant of its distillation."""
    searched(worker, suggester)
    grant = training(worker, suggester)
    worker.renew(grant, curve=curve(0.55, 0.25), progress=Progress(stage="distilling", done=60, total=STEPS))
    return grant


def test_a_hopeless_trial_is_told_to_stop_and_ends_with_its_evidence(worker, suggester):
    grant = hopeless(worker, suggester)
    assert suggester.step()
    assert worker.renew(grant).command is Command.STOP
    assert trial(worker, grant).state is TrialState.DISTILLING  # until its worker has ended it
    worker.report(grant, Stopped(progress=Progress(stage="distilling", done=80, total=STEPS)))
    stopped = trial(worker, grant)
    assert stopped.state is TrialState.STOPPED
    assert stopped.ended_at is not None
    evidence = stopped.early_stop
    assert (evidence.step, evidence.steps, evidence.curves) == (50, STEPS, 9)
    assert evidence.current == pytest.approx(0.25)
    assert evidence.expected == pytest.approx(0.55, abs=0.01)
    assert 0.55 < evidence.optimistic < 0.6
    rival = next(one for one in worker.trials() if one.number == evidence.dominated_by)
    assert rival.metrics["accuracy"] == pytest.approx(0.78)
    assert rival.metrics["latency_p50"] < stopped.metrics["latency_p50"]
    assert stopped.reason == evidence.reason
    for word in ("accuracy 0.25 after 50 of 200 steps", f"trial {rival.number} has 0.78", "no worse latency_p50"):
        assert word in stopped.reason
    assert evidence.saved_steps == 120
    study = worker.study()
    assert study.saved_steps == 120
    assert study.trials["stopped"] == 1
    assert stopped.number not in [one.number for one in worker.trials() if one.on_front]
    assert "accuracy" not in stopped.metrics


def test_a_stopped_trial_counts_to_the_budget_and_the_search_goes_on_to_its_end(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    worker.report(grant, Stopped())
    assert worker.study().spent_trials == 10
    while suggester.step() or worker.work():
        pass
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 13, "stopped": 1}


def test_a_promising_trial_goes_on(worker, suggester):
    searched(worker, suggester)
    grant = training(worker, suggester)
    worker.renew(grant, curve=curve(0.85, 0.25))
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE
    assert trial(worker, grant).early_stop is None


def test_what_is_faster_than_all_goes_on(worker, suggester):
    searched(worker, suggester)
    grant = training(worker, suggester, latency_s=1e-3)
    worker.renew(grant, curve=curve(0.55, 0.75))
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE


@pytest.mark.parametrize("changes", [{"early_stopping": False}, {"trials": 7}])
def test_nobody_is_stopped_when_it_is_switched_off_or_there_are_few_curves(worker, suggester, changes):
    searched(worker, suggester, **changes)
    grant = training(worker, suggester)
    worker.renew(grant, curve=curve(0.3, 0.75))
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE


def test_it_is_off_unless_it_is_asked_for(worker, suggester):
    worker.create()
    assert worker.study().spec.early_stopping is False


def test_new_results_may_stop_a_trial_that_had_gone_on(worker, suggester):
    searched(worker, suggester, trials=8)
    grant = training(worker, suggester, latency_s=1e-3)
    worker.renew(grant, curve=curve(0.55, 0.5))
    other = training(worker, suggester, latency_s=5e-4)
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE
    worker.report(other, outcome(worker, 0.8))
    suggester.step()
    assert worker.renew(grant).command is Command.STOP


def test_who_is_done_before_the_word_arrives_is_completed(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    worker.report(grant, outcome(worker, 0.9))
    completed = trial(worker, grant)
    assert completed.state is TrialState.COMPLETED
    assert completed.reason is None
    assert completed.metrics["accuracy"] == 0.9
    assert completed.early_stop.saved_steps == 0
    assert worker.study().saved_steps == 0


def test_the_same_word_may_be_said_again(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    before = trial(worker, grant).early_stop
    for again in (suggester, Suggester(worker.store, nullcontext)):  # one that was restarted has forgotten
        again.step()
        assert worker.renew(grant).command is Command.STOP
    assert trial(worker, grant).early_stop == before
    for _ in range(2):
        worker.report(grant, Stopped())
    assert trial(worker, grant).state is TrialState.STOPPED
    assert worker.renew(grant).command is Command.CANCEL
    with pytest.raises(LeaseLostError):
        worker.report(grant, outcome(worker, 0.9))


def test_nobody_stops_by_himself(worker, suggester):
    searched(worker, suggester)
    grant = training(worker, suggester)
    with pytest.raises(InvalidError, match="nobody told"):
        worker.report(grant, Stopped())
    assert trial(worker, grant).state is TrialState.DISTILLING


def test_a_worker_that_died_does_not_keep_a_stopped_trial(worker, suggester, clock):
    grant = hopeless(worker, suggester)
    suggester.step()
    clock.advance(31)
    worker.lease(kinds=(JobKind.PREPARE,))  # any request sweeps
    stopped = trial(worker, grant)
    assert stopped.state is TrialState.STOPPED
    assert stopped.early_stop.saved_steps == STEPS - 60  # as far as it was heard of
    assert worker.renew(grant).command is Command.CANCEL


def test_a_job_that_is_given_back_is_not_begun_again(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    for _ in range(2):
        worker.release(grant, worker.artefact("checkpoint"))
    assert trial(worker, grant).state is TrialState.STOPPED


def test_a_job_that_breaks_is_not_begun_again(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    worker.fail(grant, FailureReason.ERROR)
    assert trial(worker, grant).state is TrialState.STOPPED


def test_training_that_diverged_is_a_failure_all_the_same(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    worker.fail(grant, FailureReason.DIVERGED)
    failed = trial(worker, grant)
    assert failed.state is TrialState.FAILED
    assert failed.early_stop.saved_steps == 0


def test_a_trial_that_waits_to_go_on_is_stopped_at_once(worker, suggester):
    grant = hopeless(worker, suggester)
    worker.release(grant)
    suggester.step()
    assert trial(worker, grant).state is TrialState.STOPPED
    assert worker.study().saved_steps == 150


def test_the_curve_outlives_the_worker_that_drew_it(worker, suggester, clock):
    searched(worker, suggester)
    first = training(worker, suggester)
    worker.renew(first, curve=curve(0.85, 0.5))
    worker.release(first)
    again = worker.lease(kinds=(JobKind.DISTILL,))
    assert again.job == first.job
    late = (CurvePoint(step=100, value=0.4), CurvePoint(step=150, value=0.45))
    worker.renew(again, curve=late)  # it went on from a checkpoint before the second point
    with worker.store.read() as uow:
        known = uow.jobs.get(again.job).curve
    assert known == (curve(0.85, 0.25)[0], *late)


def test_a_shape_that_the_user_named_is_never_stopped(worker, suggester):
    searched(worker, suggester, baselines={"named": {"layers": 2, "hidden_size": 32, "heads": 2}})
    # The named one comes first; the next trial begins as it did.
    grant = training(worker, suggester)
    with worker.store.write() as uow:
        uow.trials.get(uow.jobs.get(grant.job).trial_id).origin = "baseline: named"
    worker.renew(grant, curve=curve(0.3, 0.75))
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE


def test_finalists_are_never_stopped(worker, suggester):
    searched(worker, suggester, trials=9, budget={"trials": 9, "finalists": 1, "parallel": 1, "flash_floor": 200})
    worker.work(*TRAINING)
    suggester.step()
    grant = worker.lease(kinds=(JobKind.FINALIZE,))
    worker.renew(grant, curve=curve(0.1, 0.75))
    suggester.step()
    assert worker.renew(grant).command is Command.CONTINUE


def test_quality_out_of_reach_of_a_constraint_is_a_reason(worker, suggester):
    searched(worker, suggester, constraints=["accuracy >= 0.7"])
    grant = training(worker, suggester, latency_s=1e-3)
    worker.renew(grant, curve=curve(0.55, 0.25))
    suggester.step()
    worker.report(grant, Stopped())
    stopped = trial(worker, grant)
    assert stopped.early_stop.dominated_by is None
    assert stopped.reason.endswith("that breaks accuracy >= 0.7")


def test_a_strategy_sees_a_forecast_and_that_it_is_one(worker, suggester):
    grant = hopeless(worker, suggester)
    suggester.step()
    worker.report(grant, Stopped())
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        trials = read_supply(uow, study, space_of(study)).trials
    (seen,) = [one for one in trials if one.standing is Standing.STOPPED]
    evidence = trial(worker, grant).early_stop
    assert seen.metrics["accuracy"] == evidence.expected
    assert seen.variances["accuracy"] == evidence.variance > 0
    assert seen.metrics["latency_p50"] == pytest.approx(8e-3)


def test_judging_is_computing_and_nothing_is_judged_twice(worker, store, suggester):
    entered = []

    @contextmanager
    def guard():
        entered.append(None)
        yield

    hopeless(worker, suggester)
    fresh = Suggester(store, guard)
    with store.write() as uow:  # somebody else thinks about what to suggest
        uow.studies.lease_suggester(1, "other", uow.now, 60)
    assert fresh.step()
    assert len(entered) == 1
    fresh.step()
    assert len(entered) == 1


def test_a_study_that_is_deleted_while_its_trials_are_judged_stops_nobody(worker, store, suggester):
    hopeless(worker, suggester)

    @contextmanager
    def guard():
        if "demo" in names():
            with store.write() as uow:
                stop_study(uow, "demo")
            with store.write() as uow:
                delete_study(uow, "demo")
        yield

    def names():
        with store.read() as uow:
            return uow.studies.names()

    assert not Suggester(store, guard).step()
    assert "demo" not in names()


def test_points_over_http_must_rise_and_be_finite(http, http_worker, spec):
    assert http.post("/v1/studies", json={"spec": spec}).status_code == 201
    grant = http_worker.lease()
    url = f"/v1/jobs/{grant.job}:renew"
    good = {"attempt": grant.attempt, "curve": [{"step": 10, "value": 0.5}, {"step": 20, "value": 0.6}]}
    assert http.post(url, json=good).json()["command"] == "continue"
    for points in ([{"step": 20, "value": 0.5}, {"step": 10, "value": 0.6}], [{"step": 0, "value": 0.5}]):
        assert http.post(url, json={**good, "curve": points}).status_code == 422
    infinite = '{"attempt": 1, "curve": [{"step": 10, "value": 1e999}]}'
    answer = http.post(url, content=infinite, headers={"content-type": "application/json"})
    assert answer.status_code == 422
