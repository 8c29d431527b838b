"""Studies searched by `pareto`, from the first suggestion to the last; on both stores."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest

from optimization import surrogate
from optimization.pareto_strategy import ParetoStrategy
from optimization.strategy import Standing, StrategyTrial
from protocol.changes import ExtendStudy
from protocol.jobs import JobKind
from protocol.views import StudyState, TrialState
from service.operations.front import view_front
from service.operations.lifecycle import extend_study
from service.operations.supply import insert_suggestions, read_supply, space_of
from service.suggester import Suggester

SMALL = {"layers": [1, 2, 3, 4], "hidden_size": [32], "heads": [2], "head_size": [16], "ffn_size": [32, 64]}


def begun(worker, **changes):
    worker.create(**{"strategy": "pareto", "budget": {"trials": 8, "finalists": 2}, **changes})
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def search(worker, suggester, until=None):
    """Works and suggests, until the study has so many trials or neither finds anything to do."""
    while (until is None or len(worker.trials()) < until) and (suggester.step() or worker.work()):
        pass


def supply_of(worker):
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        return read_supply(uow, study, space_of(study))


def modelled(supply):
    """As many completed trials as a model needs."""
    metrics = {"accuracy": 0.5, "latency_p50": 1e-3, "parameters": 1e4}
    shapes = supply.study.space.architectures(range(8))
    return [
        StrategyTrial(architecture=shape, standing=Standing.COMPLETED, metrics=metrics | {"accuracy": 0.5 + place / 50})
        for place, shape in enumerate(shapes)
    ]


def test_a_study_is_searched_by_models_and_says_why(worker, store):
    begun(worker)
    search(worker, Suggester(store, nullcontext))
    study, trials = worker.study(), worker.trials()
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 8}
    assert study.finalists == {"completed": 2}
    baseline, *others = trials
    assert baseline.origin == "baseline: half-depth"
    assert baseline.suggestion is None
    by_model = [trial for trial in others if trial.origin == "pareto"]
    assert by_model
    assert all(trial.suggestion.strategy == trial.origin for trial in others)
    for trial in by_model:
        told = trial.suggestion
        assert set(told.predicted) == {"accuracy", "latency_p50"}
        assert 0 < told.predicted["latency_p50"].deviation < 1
        assert told.predicted["accuracy"].value == pytest.approx(trial.metrics["accuracy"], abs=0.2)
        assert told.acquisition < 1
        assert told.observations["latency_p50"] >= told.observations["accuracy"] >= 2
        assert told.seconds > 0
        assert 1 <= told.count <= 2  # one waits beside the one that runs
        assert told.fallback is None
    spent = {trial.created_at: trial.suggestion.seconds for trial in others}
    assert study.suggesting_s >= max(spent.values())


def test_a_suggester_that_starts_in_mid_study_goes_on_as_the_old_one_would(worker, store):
    begun(worker)
    search(worker, Suggester(store, nullcontext), until=8)
    begun(worker, name="again")
    while len(worker.trials("again")) < 8:
        surrogate._fits.clear()
        if not Suggester(store, nullcontext).step() and not worker.work():
            break
    assert [trial.architecture for trial in worker.trials("again")] == [t.architecture for t in worker.trials()]
    assert any(trial.origin == "pareto" for trial in worker.trials("again"))


def test_a_pending_trial_changes_what_is_suggested_next(worker, store):
    begun(worker, budget={"trials": 20, "finalists": 1})
    search(worker, Suggester(store, nullcontext), until=8)
    worker.work(JobKind.MEASURE)
    supply = supply_of(worker)
    pending = [place for place, trial in enumerate(supply.trials) if trial.standing is Standing.PENDING]
    assert pending
    assert all(set(supply.trials[place].metrics) >= {"latency_p50", "parameters"} for place in pending)
    failed = [
        replace(trial, standing=Standing.FAILED, metrics={}) if place in pending else trial
        for place, trial in enumerate(supply.trials)
    ]
    (known,) = ParetoStrategy().suggest(supply.study, supply.trials, 1)
    (unknown,) = ParetoStrategy().suggest(supply.study, failed, 1)
    assert known.strategy == unknown.strategy == "pareto"
    assert (known.architecture, known.acquisition) != (unknown.architecture, unknown.acquisition)


def test_a_given_reference_is_the_studys_from_its_first_trial_to_its_last(worker, store):
    reference = {"accuracy": 0.25, "latency_p50": 0.05}
    begun(worker, reference=reference)
    assert supply_of(worker).study.reference == reference
    search(worker, Suggester(store, nullcontext))
    assert worker.study().state is StudyState.COMPLETED
    with store.read() as uow:
        view = view_front(uow, uow.studies.find("demo"))
    assert view.reference == reference
    assert view.history[-1].hypervolume == view.hypervolume > 0


def test_a_space_that_has_no_more_ends_the_study(worker, store):
    begun(worker, search_space=SMALL, budget={"trials": 50, "finalists": 1})
    search(worker, Suggester(store, nullcontext))
    assert worker.study().state is StudyState.COMPLETED
    trials = worker.trials()
    assert len(trials) == len({trial.architecture.key for trial in trials}) == 9  # the baseline lies outside
    assert any(trial.origin == "pareto" for trial in trials)


def test_a_choice_past_the_deadline_is_recorded_with_the_trial(worker, store):
    begun(worker)
    supply = supply_of(worker)
    (late,) = ParetoStrategy(deadline_s=0.0).suggest(supply.study, modelled(supply), 1)
    with store.write() as uow:
        attempt = uow.studies.lease_suggester(1, "somebody", uow.now, 10)
        assert insert_suggestions(uow, 1, attempt, [late, late], 31.0) == 1
    trial = worker.trials()[-1]
    assert trial.origin.endswith("(pareto: not ready within 0 s)")
    assert trial.suggestion.fallback == "not ready within 0 s"
    assert trial.suggestion.predicted == {}
    assert trial.suggestion.seconds == 31.0


def test_finalists_of_few_trials_are_chosen_by_their_evaluations_and_the_study_says_so(worker, store):
    begun(worker, budget={"trials": 3, "finalists": 1})
    search(worker, Suggester(store, nullcontext))
    (note,) = [note for note in worker.study().notes if note.startswith("finalists")]
    assert note == (
        "finalists were chosen by their evaluations alone: "
        "2 completed trials of the search space are too few for a model"
    )


def test_a_lucky_evaluation_is_no_finalist(worker, store, answers):
    """The slowest but one is evaluated as the best by chance, within an interval that says how little that means."""
    begun(worker, budget={"trials": 14, "finalists": 1})
    suggester = Suggester(store, nullcontext)
    search(worker, suggester, until=14)
    worker.work()
    with store.write() as uow:
        rows = [row for row in uow.trials.of(1) if row.architecture in space_of(uow.studies.get(1))]
        lucky = min(rows, key=lambda row: row.metrics["accuracy"])
        best = max(row.metrics["accuracy"] for row in rows)
        lucky.metrics = {**lucky.metrics, "accuracy": best + 0.01}
        lucky.variances = {**lucky.variances, "accuracy": 0.2**2}
        number = lucky.number
    search(worker, suggester)
    assert worker.study().state is StudyState.COMPLETED
    assert not any(note.startswith("finalists") for note in worker.study().notes)
    assert [trial.number for trial in worker.trials() if trial.finalist] != [number]


def test_a_baseline_outside_the_space_may_be_a_finalist(worker, store, answers):
    outside = {"layers": 1, "hidden_size": 64, "heads": 4, "head_size": 16, "ffn_size": 256}
    answers.latency_s = lambda shape: 1e-4 if shape.ffn_size == 256 else 2e-3 + 1e-6 * shape.hidden_size
    answers.accuracy = lambda shape: 0.99 if shape.ffn_size == 256 else 0.5 + 0.001 * shape.hidden_size
    begun(worker, baselines={"mine": outside}, budget={"trials": 9, "finalists": 1})
    search(worker, Suggester(store, nullcontext))
    (finalist,) = [trial for trial in worker.trials() if trial.finalist]
    assert finalist.origin == "baseline: mine"
    assert not any(note.startswith("finalists") for note in worker.study().notes)


def test_what_was_distilled_in_full_reaches_the_strategy_of_an_extended_study(worker, store):
    begun(worker, budget={"trials": 7, "finalists": 3})
    suggester = Suggester(store, nullcontext)
    search(worker, suggester)
    assert worker.study().state is StudyState.COMPLETED
    finalists = {trial.number: trial for trial in worker.trials() if trial.finalist}
    with store.write() as uow:
        extend_study(uow, "demo", ExtendStudy(trials=9))
    supply = supply_of(worker)
    full = {place + 1: trial.full for place, trial in enumerate(supply.all_trials) if trial.full}
    assert full == {n: {"accuracy": t.finalist.evaluation.selection.value} for n, t in finalists.items()}
    search(worker, suggester)
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 9}
    assert study.finalists["completed"] >= 3
    assert len([g for g in worker.trials() if g.finalist]) == study.finalists["completed"]
    assert all(trial.state is TrialState.COMPLETED for trial in worker.trials())


def test_a_study_that_is_extended_while_its_finalists_are_chosen_goes_on(worker, store):
    begun(worker, strategy="sobol", budget={"trials": 2, "finalists": 1})

    @contextmanager
    def guard():
        yield
        if worker.study().spec.budget.trials == 2 and worker.study().spent_trials == 2:
            with store.write() as uow:
                extend_study(uow, "demo", ExtendStudy(trials=4))

    search(worker, Suggester(store, guard))
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 4}
    assert study.finalists == {"completed": 1}


@pytest.mark.parametrize("given", [{}, {"accuracy": 0.3, "latency_p50": 0.5}])
def test_only_a_reference_that_the_user_gave_binds_the_search(worker, store, given):
    """One that is inferred from the first trials would leave out what is faster or better than all of them."""
    begun(worker, **({"reference": given} if given else {}))
    search(worker, Suggester(store, nullcontext), until=5)
    worker.work()
    assert worker.study().trials["completed"] >= 3
    with store.read() as uow:
        assert view_front(uow, uow.studies.find("demo")).reference is not None
    assert (supply_of(worker).study.reference or {}) == given


def test_models_see_latencies_at_one_pace_and_everybody_else_as_they_were_measured(worker, store):
    begun(worker)
    suggester = Suggester(store, nullcontext)
    for place in range(7):
        while (grant := worker.lease(kinds=(JobKind.MEASURE,))) is None:
            worker.work(JobKind.DISTILL)
            assert suggester.step()
        pace = 1.5 if place % 2 else 1.0
        outcome = worker.answers.to(grant.work)
        paced = replace(
            outcome.measurement,
            p50=replace(outcome.measurement.p50, value_s=outcome.measurement.p50.value_s * pace),
            reference_s=1e-3 * pace,
            reference_shift=0.0,
        )
        worker.report(grant, outcome.model_copy(update={"measurement": paced}))
    measured = [trial.metrics["latency_p50"] for trial in worker.trials()]
    seen = [trial.metrics["latency_p50"] for trial in supply_of(worker).all_trials]
    ratios = [other / one for one, other in zip(measured, seen, strict=True)]
    assert ratios[1::2] == pytest.approx([ratios[0] / 1.5] * len(ratios[1::2]))
    assert ratios[::2] == pytest.approx([ratios[0]] * len(ratios[::2]))


def test_models_are_told_who_broke_a_bound_as_it_was_measured(worker, store):
    begun(worker, constraints=["latency_p50 <= 500 ms"])
    while (grant := worker.lease(kinds=(JobKind.MEASURE,))) is None:
        worker.work(JobKind.DISTILL)
    outcome = worker.answers.to(grant.work)
    slow = replace(outcome.measurement, p50=replace(outcome.measurement.p50, value_s=0.6))
    worker.report(grant, outcome.model_copy(update={"measurement": slow}))
    seen = supply_of(worker).all_trials
    assert [trial.broke_bound for trial in seen] == [trial.standing is Standing.INFEASIBLE for trial in seen]
    assert sum(trial.broke_bound for trial in seen) == 1
