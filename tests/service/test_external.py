"""External trials: asked for, and told."""

import math
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import httpx
import pytest

from client import Client, ProblemError
from protocol.changes import ExtendStudy
from protocol.jobs import Ask, FailureReason, JobKind, Tell
from protocol.views import StudyState, TrialState
from search_space import parameter_count
from service.errors import InvalidError, LeaseLostError, NotExternalError, NotFoundError
from service.operations import external
from service.operations.lifecycle import extend_study
from service.operations.studies import create_study, parse_spec
from service.operations.supply import read_supply, space_of
from service.suggester import Suggester

EXTERNAL = {
    "name": "mine",
    "external": True,
    "search_space": {"layers": [1, 2, 3, 4], "hidden_size": [16, 32], "heads": 1, "ffn_size": [16, 32]},
    "objectives": {"accuracy": "maximize", "energy": "minimize"},
    "budget": {"trials": 4, "parallel": 2},
    "strategy": "sobol",
}
GOOD = {"accuracy": 0.9, "energy": 3.0}


@pytest.fixture
def mine(worker):
    """An external study, with whoever evaluates its trials."""

    def create(**changes):
        with worker.store.write() as uow:
            created = create_study(uow, parse_spec({**EXTERNAL, **changes}))
        supply()
        return created

    def supply():
        while suggester.step():
            pass

    def ask(count=1, **changes):
        with worker.store.write() as uow:
            return external.ask(uow, worker.settings, "mine", Ask(count=count, wait_s=0, **changes))

    def tell(grant, **told):
        message = Tell(attempt=grant.attempt, **told)
        return external.tell(worker.store, worker.settings, "mine", grant.trial, message)

    suggester = Suggester(worker.store, nullcontext)
    return SimpleNamespace(create=create, supply=supply, ask=ask, tell=tell)


def test_search_begins_at_once_without_teacher_and_data(mine, worker):
    assert mine.create()
    study = worker.study("mine")
    assert (study.state, study.prepared) == (StudyState.SEARCHING, None)
    assert {job.kind for job in study.jobs} == {JobKind.EVALUATE}
    assert len(study.jobs) == 3  # as many as run in parallel, and one ahead


def test_trials_are_handed_out_with_a_lease_and_what_is_wanted_of_them(mine, worker):
    mine.create(constraints=["energy <= 5"], external={"vocabulary_size": 1000, "max_positions": 64})
    first, second = mine.ask(count=2).trials
    assert (first.trial, second.trial, first.attempt, first.lease_s) == (1, 2, 1, 30)
    assert first.work.metrics == ("accuracy", "energy")
    assert (first.work.architecture.vocabulary_size, first.work.architecture.max_positions) == (1000, 64)
    assert worker.trials("mine")[0].state is TrialState.MEASURING


def test_own_workers_are_never_given_one(mine, worker):
    mine.create()
    assert worker.lease(kinds=tuple(kind for kind in JobKind if kind is not JobKind.EVALUATE)) is None


def test_what_is_told_is_what_strategy_and_front_see(mine, worker):
    mine.create()
    (grant,) = mine.ask().trials
    told = mine.tell(grant, metrics={**GOOD, "latency_p50": 0.004}, variances={"energy": 0.25})
    assert told.state is TrialState.COMPLETED
    trial = worker.trials("mine")[0]
    assert trial.metrics["energy"] == 3.0
    assert trial.metrics["parameters"] > 0
    assert trial.on_front
    with worker.store.read() as uow:
        assert uow.trials.numbered(1, 1).variances == {
            "accuracy": 0,
            "energy": 0.25,
            "latency_p50": 0,
            "parameters": 0,
        }


def test_parameters_are_counted_and_another_number_is_refused(mine, worker):
    """The search goes by the count: what is judged must be the same."""
    mine.create()
    (grant,) = mine.ask().trials
    count = parameter_count(grant.work.architecture)
    with pytest.raises(InvalidError, match=f"which has {count}; what you tell needs another name"):
        mine.tell(grant, metrics={**GOOD, "parameters": count + 1})
    assert mine.tell(grant, metrics={**GOOD, "parameters": count}).state is TrialState.COMPLETED
    assert worker.trials("mine")[0].metrics["parameters"] == count


def test_trial_that_breaks_a_constraint_is_infeasible(mine):
    mine.create(constraints=["energy <= 2"])
    (grant,) = mine.ask().trials
    told = mine.tell(grant, metrics=GOOD)
    assert (told.state, told.reason) == (TrialState.INFEASIBLE, "energy 3 breaks energy <= 2")


def test_whoever_evaluates_may_call_a_trial_infeasible(mine):
    mine.create()
    (grant,) = mine.ask().trials
    told = mine.tell(grant, infeasible="does not fit the chip")
    assert (told.state, told.reason) == (TrialState.INFEASIBLE, "does not fit the chip")


def test_failure_is_tried_again_and_then_counts(mine, worker):
    mine.create()
    number = None
    for state in (TrialState.PENDING, TrialState.PENDING, TrialState.FAILED):
        grants = mine.ask(count=3).trials
        grant = next(one for one in grants if number in (None, one.trial))
        number = grant.trial
        assert mine.tell(grant, failure={"reason": "error", "message": "out of memory"}).state is state
        for other in grants:
            if other.trial != number:
                worker.release(other)
    assert "out of memory" in worker.trials("mine")[number - 1].reason


def test_every_metric_by_which_the_study_judges_must_be_told(mine, worker):
    mine.create()
    (grant,) = mine.ask().trials
    with pytest.raises(InvalidError, match="metrics: energy is missing"):
        mine.tell(grant, metrics={"accuracy": 0.9})
    assert mine.tell(grant, metrics=GOOD).state is TrialState.COMPLETED


@pytest.mark.parametrize(
    "told",
    [
        {"metrics": {**GOOD, "energy": math.nan}},
        {"metrics": {**GOOD, "energy": math.inf}},
        {"metrics": {**GOOD, "energy": 1e101}},
        {"metrics": {**GOOD, "energy": -1.7e308}},
        {"metrics": {**GOOD, "no name": 1.0}},
        {"metrics": GOOD, "variances": {"energy": -1.0}},
        {"metrics": GOOD, "variances": {"energie": 1.0}},
        {"metrics": GOOD, "failure": {"reason": "error", "message": ""}},
    ],
)
def test_what_cannot_be_meant_is_refused(told):
    with pytest.raises(ValueError, match=r"metrics|variances|failure"):
        Tell.model_validate({"attempt": 1, **told})


def test_what_is_called_a_latency_elsewhere_is_as_uncertain_as_it_is_told(mine, worker):
    """Only our own measurements are of three processes, of which the variance is pooled; and none is this short."""
    mine.create(objectives={"accuracy": "maximize", "latency_p50": "minimize"}, strategy="pareto")
    told = ((1e-200, 1.0), (3.0, 0.5))
    for value, variance in told:
        (grant,) = mine.ask().trials
        mine.tell(grant, metrics={"accuracy": 0.9, "latency_p50": value}, variances={"latency_p50": variance})
    mine.supply()
    with worker.store.read() as uow:
        study = uow.studies.find("mine")
        trials = read_supply(uow, study, space_of(study)).trials
    assert [trial.variances["latency_p50"] for trial in trials[:2]] == [1.0, 0.5]
    assert len(worker.trials("mine")) == 4
    assert worker.study("mine").state is StudyState.SEARCHING


def test_same_may_be_told_again_and_another_thing_not(mine, worker):
    mine.create()
    (grant,) = mine.ask().trials
    mine.tell(grant, metrics=GOOD)
    assert mine.tell(grant, metrics=GOOD).state is TrialState.COMPLETED
    with pytest.raises(LeaseLostError):
        mine.tell(grant, metrics={**GOOD, "accuracy": 0.1})
    assert worker.job(grant.job).refused == 1
    assert worker.trials("mine")[0].metrics["accuracy"] == 0.9


def test_stale_tell_is_refused_and_kept(mine, worker, clock):
    mine.create()
    (stale,) = mine.ask(worker="slow").trials
    clock.advance(31)
    fresh = {grant.trial: grant for grant in mine.ask(count=3).trials}[stale.trial]
    with pytest.raises(LeaseLostError):
        mine.tell(stale, metrics=GOOD)
    assert [one.worker for one in worker.job(stale.job).stale_writes] == ["slow"]
    assert mine.tell(fresh, metrics=GOOD).state is TrialState.COMPLETED


def test_same_request_gets_the_same_trials(mine):
    mine.create()
    first = mine.ask(count=2, request="request-1").trials
    again = mine.ask(count=2, request="request-1").trials
    assert [grant.trial for grant in again] == [grant.trial for grant in first]
    assert [grant.attempt for grant in again] == [1, 1]


def test_study_ends_with_its_budget_and_its_front_is_what_it_was_for(mine, worker):
    mine.create()
    for step in range(4):
        (grant,) = mine.ask().trials
        mine.tell(grant, metrics={"accuracy": 0.5 + step / 10, "energy": 1.0 + step})
        mine.supply()
    study = worker.study("mine")
    assert (study.state, study.trials, study.front_size) == (StudyState.COMPLETED, {"completed": 4}, 4)
    assert study.ended_at is not None
    asked = mine.ask()
    assert (asked.state, asked.trials) == (StudyState.COMPLETED, ())


def test_nothing_is_computed_for_finalists_that_it_has_not(mine, worker):
    guarded = []

    @contextmanager
    def guard():
        guarded.append(1)
        yield

    mine.create(budget={"trials": 2, "parallel": 2})
    for grant in mine.ask(count=2).trials:
        mine.tell(grant, metrics=GOOD)
    assert Suggester(worker.store, guard).step()
    assert worker.study("mine").state is StudyState.COMPLETED
    assert guarded == []


def test_extended_study_searches_on_and_is_given_no_finalists(mine, worker):
    mine.create(budget={"trials": 1})
    mine.tell(mine.ask().trials[0], metrics=GOOD)
    mine.supply()
    with worker.store.write() as uow:
        extend_study(uow, "mine", ExtendStudy(trials=2))
    mine.supply()
    mine.tell(mine.ask().trials[0], metrics=GOOD)
    mine.supply()
    assert worker.study("mine").trials == {"completed": 2}
    with worker.store.write() as uow, pytest.raises(InvalidError, match=r"^finalists: an external study has none"):
        extend_study(uow, "mine", ExtendStudy(finalists=9))


def test_study_of_our_own_has_no_trials_to_ask_for(worker):
    worker.create()
    with worker.store.write() as uow, pytest.raises(NotExternalError):
        external.ask(uow, worker.settings, "demo", Ask())


def test_unknown_trial_is_named(mine, worker):
    mine.create()
    with pytest.raises(NotFoundError, match="no trial 9"):
        external.tell(worker.store, worker.settings, "mine", 9, Tell(attempt=1, metrics=GOOD))


def test_ask_and_tell_over_http(http, worker, mine):
    mine.create()
    asked = http.post("/v1/studies/mine/trials:ask", json={"count": 2, "worker": "me"}).json()
    assert (asked["state"], [one["trial"] for one in asked["trials"]]) == ("searching", [1, 2])
    first = asked["trials"][0]
    renewed = http.post(f"/v1/jobs/{first['job']}:renew", json={"attempt": first["attempt"]})
    assert renewed.json()["command"] == "continue"
    told = http.post("/v1/studies/mine/trials/1:tell", json={"attempt": 1, "metrics": GOOD})
    assert told.json() == {"study": "mine", "number": 1, "state": "completed", "reason": None}
    refused = http.post("/v1/studies/mine/trials/1:tell", json={"attempt": 2, "metrics": GOOD})
    assert (refused.status_code, refused.json()["code"]) == (409, "lease_lost")
    job = http.get(f"/v1/jobs/{first['job']}").json()
    assert [attempt["reason"] for attempt in job["attempts"]] == ["done"]
    assert [write["call"] for write in job["stale_writes"]] == ["report"]
    unknown = http.post("/v1/studies/none/trials:ask", json={})
    assert unknown.status_code == 404


def test_asking_waits_no_longer_than_it_says(http, worker, mine):
    mine.create()
    http.post("/v1/studies/mine/trials:ask", json={"count": 3})
    asked = http.post("/v1/studies/mine/trials:ask", json={"wait_s": 0.1}).json()
    assert asked == {"state": "searching", "trials": []}


def test_client_asks_and_tells(http, worker, mine):
    mine.create()

    def carried(request):
        answer = http.request(request.method, str(request.url), content=request.read(), headers=dict(request.headers))
        return httpx.Response(answer.status_code, content=answer.content, headers=dict(answer.headers))

    client = Client("http://testserver", wire=httpx.MockTransport(carried))
    asked = client.external.ask("mine", 3, worker="me", wait_s=0)
    first, second, third = asked.trials
    assert client.external.tell(first, GOOD, {"energy": 0.5}).state is TrialState.COMPLETED
    assert client.external.infeasible(second, "too hot").reason == "too hot"
    assert client.external.failed(third, "no power", FailureReason.INVALID).state is TrialState.FAILED
    with pytest.raises(ProblemError, match="attempt 1 no longer has job"):
        client.external.tell(second, GOOD)
