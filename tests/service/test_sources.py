"""Studies that learn from earlier ones; on both stores."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from pydantic import ValidationError

from optimization.pareto_strategy import ParetoStrategy
from protocol.jobs import FailureReason, JobKind
from protocol.study import StudySpec
from protocol.views import StudyState
from search_space import Architecture
from service.errors import InvalidError
from service.operations.lifecycle import delete_study
from service.operations.supply import read_supply, space_of
from service.suggester import Suggester

OTHER_TEACHER = Architecture(vocabulary_size=500, layers=4, hidden_size=64, heads=4, head_size=16, ffn_size=256)
SPACE = {"layers": [1, 2], "hidden_size": [32], "heads": [2], "head_size": 16, "ffn_size": [32]}


@pytest.fixture
def earlier(worker, store, answers):
    """A study that has ended, on another device, of a teacher with another vocabulary."""
    worker.create(name="earlier", target={"batch": 1, "length": 64, "threads": 1})
    answers.teacher, teacher = OTHER_TEACHER, answers.teacher
    suggester = Suggester(store, nullcontext)
    worker.work()
    while suggester.step() or worker.work():
        pass
    answers.teacher = teacher
    assert worker.study("earlier").state is StudyState.COMPLETED
    return worker.study("earlier")


def learning(worker, **changes):
    return worker.create(**{"strategy": "pareto", "sources": ["earlier"], **changes})


def supply_of(worker, name="demo"):
    with worker.store.read() as uow:
        study = uow.studies.find(name)
        return read_supply(uow, study, space_of(study))


def test_the_trials_of_a_source_reach_the_strategy_as_trials_of_its_space(worker, earlier):
    learning(worker)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    supply = supply_of(worker)
    (source,) = supply.study.sources
    there = [trial for trial in worker.trials("earlier") if not trial.origin.startswith("baseline")]
    assert len(source) == len(there) == 5
    for trial, stored in zip(source, there, strict=True):
        assert trial.architecture in supply.study.space
        assert trial.architecture.vocabulary_size == 100
        assert stored.architecture.vocabulary_size == 500
        assert trial.architecture.label == stored.label
        assert trial.metrics["accuracy"] == stored.metrics["accuracy"]
    assert supply.trials == ()
    notes = worker.study().notes
    assert notes[0].startswith("learns from study earlier: 6 completed trials; its latencies are of ")
    assert "source earlier: 5 of its trials lie in this search space" in notes


def test_a_source_changes_what_is_suggested(worker, store, earlier):
    learning(worker, budget={"trials": 9, "finalists": 1})
    suggester = Suggester(store, nullcontext)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    while len(worker.trials()) < 8:
        assert suggester.step() or worker.work()
    supply = supply_of(worker)
    (informed,) = ParetoStrategy().suggest(supply.study, supply.trials, 1)
    (alone,) = ParetoStrategy().suggest(replace(supply.study, sources=()), supply.trials, 1)
    assert informed.strategy == alone.strategy == "pareto"
    assert informed.predicted != alone.predicted


def test_the_metric_of_another_task_stands_for_this_ones(worker, store, earlier):
    with store.write() as uow:
        study = uow.studies.find("earlier")
        objectives = {"matthews": "maximize", "latency_p50": "minimize"}
        task = study.spec.canonical()["task"] | {"metric": "matthews"}
        study.spec = StudySpec.model_validate(study.spec.canonical() | {"task": task, "objectives": objectives})
        for trial in uow.trials.of(study.id):
            named = {"accuracy": "matthews"}
            trial.metrics = {named.get(name, name): value for name, value in trial.metrics.items()}
            trial.variances = {named.get(name, name): value for name, value in trial.variances.items()}
    learning(worker)
    assert "its matthews stands for accuracy" in worker.study().notes[0]
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    (source,) = supply_of(worker).study.sources
    assert [set(trial.metrics) & {"accuracy", "matthews"} for trial in source] == [{"accuracy"}] * 5


def test_a_source_that_cannot_be_used_is_refused_by_its_key(worker, earlier):
    without_heads = {name: values for name, values in SPACE.items() if name != "head_size"}
    other = "sources.0: study 'earlier' searches other dimensions: "
    for changes, message in (
        ({"sources": ["erlier"]}, "sources.0: there is no study 'erlier'; did you mean 'earlier'?"),
        ({"search_space": SPACE | {"ffn_stacks": [1, 2]}}, f"{other}it has no ffn_stacks"),
        ({"search_space": without_heads}, f"{other}head_size is a dimension there alone"),
        ({"search_space": SPACE | {"hidden_size": [128]}}, f"{other}no value of hidden_size is in both"),
    ):
        with pytest.raises(InvalidError) as caught:
            learning(worker, **changes)
        assert str(caught.value) == message


def test_a_source_that_has_not_ended_or_has_nothing_to_tell_is_refused(worker, store):
    worker.create(name="earlier")
    with pytest.raises(InvalidError, match=r"sources\.0: study 'earlier' is preparing: name it when it has ended"):
        learning(worker)
    worker.fail(worker.lease(), FailureReason.INVALID, "no such data")
    with pytest.raises(InvalidError, match=r"sources\.0: study 'earlier' has no completed trial to learn from"):
        learning(worker)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ["demo"]}, "sources.0: 'demo' is this study itself"),
        ({"sources": ["a", "a"]}, "sources.1: 'a' is named twice"),
        (
            {"sources": ["a"], "strategy": "sobol"},
            "sources: strategy sobol does not learn from them; write `strategy: pareto`",
        ),
    ],
)
def test_sources_that_no_study_can_have_are_refused(spec, changes, message):
    with pytest.raises(ValidationError, match=message):
        StudySpec.model_validate({**spec, "strategy": "pareto", **changes})


def test_a_study_goes_on_without_a_source_that_is_gone(worker, store, earlier):
    learning(worker)
    with store.write() as uow:
        uow.studies.find("earlier").name = "renamed"
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    assert supply_of(worker).study.sources == ()


def test_another_study_under_the_name_of_a_source_tells_only_what_lies_in_the_space(worker, store, earlier):
    learning(worker)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    with store.write() as uow:
        delete_study(uow, "earlier")
    assert supply_of(worker).study.sources == ()
    other = {"layers": [1, 2], "hidden_size": [16], "heads": [1], "head_size": 16, "ffn_size": [16, 32]}
    worker.create(name="earlier", search_space=other, strategy="sobol")
    worker.work(JobKind.PREPARE)
    suggester = Suggester(store, nullcontext)
    while len(worker.trials("earlier")) < 3:
        assert suggester.step() or worker.work()
    study = supply_of(worker).study
    (source,) = study.sources
    assert 0 < len(source) < len(worker.trials("earlier"))
    assert all(trial.architecture in study.space for trial in source)
