"""Trials of an external study: asked for, kept, told of."""

import threading
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from client import ProblemError
from client.asked import AskedTrial
from protocol.jobs import Command, Release, Renewed
from protocol.problem import Problem
from protocol.views import StudyState, TrialState
from service.suggester import Suggester

WORDS = {
    "name": "outside",
    "external": True,
    "objectives": {"accuracy": "maximize", "energy": "minimize"},
    "search_space": {"layers": [1, 2, 3, 4], "hidden_size": [16, 32], "heads": 1, "head_size": 16, "ffn_size": 32},
    "budget": {"trials": 4},
    "strategy": "sobol",
}


@pytest.fixture
def outside(client, store, worker):
    """An external study with its first trials suggested, and what suggests more."""
    study = client.studies.create(WORDS)
    suggester = Suggester(store, nullcontext)

    def suggest():
        while suggester.step():
            pass

    suggest()
    return study, suggest


def test_an_external_study_is_evaluated_in_ten_lines(outside):
    study, suggest = outside
    found = {}
    while (trial := study.ask()) is not None:
        shape = trial.architecture
        found[trial.number] = {"accuracy": 0.5 + 0.1 * shape.layers, "energy": 2.0 * shape.layers * shape.hidden_size}
        assert trial.metrics == ("accuracy", "energy")
        assert trial.tell(found[trial.number]).state is TrialState.COMPLETED
        suggest()
    study.wait()
    assert study.state is StudyState.COMPLETED
    trials = study.trials()
    assert len(trials) == len(found) == 4
    assert all(found[trial.number].items() <= trial.metrics.items() for trial in trials)
    assert {"accuracy", "energy"} <= set(study.front().to_pandas().columns)


def test_what_cannot_be_evaluated_is_told_too(outside):
    study, suggest = outside
    first = study.ask()
    assert first.infeasible("it does not fit").state is TrialState.INFEASIBLE
    suggest()
    second = study.ask()
    second.fail("the board was off")
    suggest()
    third = study.ask()
    assert third is not None
    with pytest.raises(ProblemError):
        third.tell({"accuracy": 0.5})
    third.tell({"accuracy": 0.5, "energy": 1.0, "watts": 3.0})
    assert study.trials()[0].reason == "it does not fit"


def test_a_trial_that_is_given_back_is_asked_of_somebody_else(outside):
    study, _ = outside
    first = study.ask()
    first.release()
    assert study.ask(worker="another").number == first.number


def test_a_trial_is_kept_until_it_is_told_of_or_forgotten(outside):
    study, _ = outside
    trial = study.ask()
    keeping = [thread for thread in threading.enumerate() if thread.name == f"keep-{trial.study}-{trial.number}"]
    assert len(keeping) == 1
    trial.tell({"accuracy": 0.5, "energy": 1.0})
    keeping[0].join(10)
    assert not keeping[0].is_alive()


def test_a_trial_that_nobody_wants_any_more_says_so(outside, monkeypatch):
    monkeypatch.setattr("client.asked.RENEWALS", 1e4)  # at once
    study, _ = outside
    trial = study.ask()
    (keeping,) = [thread for thread in threading.enumerate() if thread.name == f"keep-{trial.study}-{trial.number}"]
    assert not trial.is_cancelled
    trial._jobs.release(trial._grant.job, Release(attempt=trial._grant.attempt))  # somebody else has it
    keeping.join(10)
    assert trial.is_cancelled


class Refusing:
    """Jobs of a service that refuses the first renewal."""

    def __init__(self, code, status):
        self.error = ProblemError(Problem(title="", status=status, detail=code, code=code))
        self.renewed = threading.Semaphore(0)

    def renew(self, job, renewal):
        self.keeping = threading.current_thread()
        self.renewed.release()
        error, self.error = self.error, None
        if error is not None:
            raise error
        return Renewed(expires_at=datetime.now(UTC), command=Command.CONTINUE)


@pytest.mark.parametrize(
    ("code", "status", "gone"), [("lease_lost", 409, True), ("not_found", 404, True), ("store_unavailable", 503, False)]
)
def test_only_a_trial_that_is_gone_is_not_wanted_any_more(outside, monkeypatch, code, status, gone):
    study, _ = outside
    asked = study.ask()
    asked._over.set()
    monkeypatch.setattr("client.asked.RENEWALS", 1e4)  # at once
    jobs = Refusing(code, status)
    trial = AskedTrial(asked._grant, study._studies, jobs)
    assert jobs.renewed.acquire(timeout=10)
    if gone:
        jobs.keeping.join(10)
    else:
        assert jobs.renewed.acquire(timeout=10)
    assert trial.is_cancelled is gone


def test_a_study_that_is_not_external_has_nothing_to_ask_for(client, spec):
    with pytest.raises(ProblemError, match="external"):
        client.studies.create(spec).ask()
