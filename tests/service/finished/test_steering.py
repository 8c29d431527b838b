"""A study is stopped, resumed, extended, deleted; its trials are filtered and exported."""

import pytest

from client import ProblemError
from protocol.views import StudyState


def test_a_study_is_stopped_and_resumed_however_often_it_is_asked(client, spec):
    study = client.studies.create(spec)
    assert study.stop().state is StudyState.STOPPED
    assert study.stop().state is StudyState.STOPPED
    assert study.wait() is study
    assert study.resume().state is StudyState.PREPARING
    assert study.resume().refresh().state is StudyState.PREPARING


def test_a_study_that_ended_is_extended_and_the_same_totals_are_refused_once_they_are_there(study):
    assert study.extend(trials=9, finalists=3).spec.budget.trials == 9
    assert study.state is StudyState.SEARCHING
    with pytest.raises(ProblemError) as caught:
        study.extend(trials=9)
    assert caught.value.problem.status in (409, 422)
    with pytest.raises(ValueError, match="name at least one"):
        study.extend()


def test_only_a_study_that_rests_is_deleted(client, spec):
    study = client.studies.create(spec)
    with pytest.raises(ProblemError) as caught:
        study.delete()
    assert caught.value.code == "study_running"
    study.stop().delete()
    study.delete()  # gone already
    assert client.studies.list() == ()


def test_trials_are_filtered_and_sorted(study):
    trials = study.trials()
    assert study.trials(on_front=True) == tuple(trial for trial in trials if trial.on_front)
    assert study.trials(feasible=False) == study.trials(states=["infeasible"]) != ()
    fast = study.trials(constraints=["latency_p50 <= 2 ms"], sort="-latency_p50")
    expected = [trial for trial in trials if trial.metrics["latency_p50"] <= 2e-3]
    assert list(fast) == sorted(expected, key=lambda trial: -trial.metrics["latency_p50"])
    with pytest.raises(ProblemError):
        study.trials(sort="beauty")


def test_the_front_of_other_metrics_is_another_one(study):
    front = study.front("accuracy", "parameters", constraints=["latency_p50 <= 2 ms"])
    assert all(trial.metrics["latency_p50"] <= 2e-3 for trial in front)


def test_a_table_of_the_trials_is_downloaded(client, study):
    lines = b"".join(client.studies.export("demo", "csv")).decode().splitlines()
    assert len(lines) == 1 + len(study.trials())
    assert "latency_p50" in lines[0]
