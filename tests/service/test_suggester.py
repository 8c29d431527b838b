import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import pytest

from protocol.jobs import FailureReason, JobKind
from protocol.views import FinalistState, StudyState, TrialState
from service.errors import StorageFullError
from service.operations.lifecycle import delete_study, stop_study
from service.operations.views import front_view
from service.suggester import LEASE_S, Suggester, run_suggester


@pytest.fixture
def suggester(store):
    return Suggester(store, nullcontext)


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def search(worker, suggester):
    """Works and suggests until neither finds anything to do."""
    while suggester.step() or worker.work():
        pass


def test_suggester_has_nothing_to_do_before_the_search(worker, suggester):
    assert not suggester.step()
    worker.create()
    assert not suggester.step()


def test_one_trial_waits_beside_those_that_run(worker, suggester):
    searching(worker, budget={"trials": 6, "parallel": 2})
    assert suggester.step()
    assert not suggester.step()
    assert [trial.origin for trial in worker.trials()] == ["baseline: half-depth", "sobol", "sobol"]
    grant = worker.lease()
    worker.fail(grant, FailureReason.DIVERGED)
    assert suggester.step()
    assert len(worker.trials()) == 4


def test_study_is_searched_to_its_end(worker, suggester):
    searching(worker)
    search(worker, suggester)
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 6}
    assert study.finalists == {"completed": 2}
    assert study.remaining_s == 0
    assert study.hypervolume > 0
    assert study.ended_at is not None
    trials = worker.trials()
    assert len({trial.architecture.key for trial in trials}) == 6
    finalists = [trial for trial in trials if trial.finalist is not None]
    with worker.store.read() as uow:
        assert {trial.number for trial in finalists} <= set(front_view(uow, "demo").numbers)
    for trial in finalists:
        assert trial.state is TrialState.COMPLETED
        assert trial.finalist.state is FinalistState.COMPLETED
        assert trial.finalist.evaluation.fidelity == "full"
        assert trial.finalist.evaluation.report.value > trial.evaluation.selection.value
        assert trial.finalist.latency.effort == "search"
        assert trial.latency.effort == "quick"
        assert trial.finalist.export == worker.artefact("export")
        assert trial.finalist.folder is None
    there = worker.settings.home / "exports" / "demo" / f"trial-{finalists[0].number}"
    there.mkdir(parents=True)
    assert [trial.finalist.folder for trial in worker.trials() if trial.finalist] == [str(there), None]


def test_finalist_is_named_after_study_and_trial_and_trained_in_full(worker, suggester):
    searching(worker)
    while worker.study().state is StudyState.SEARCHING:
        suggester.step()
        worker.work(JobKind.MEASURE, JobKind.DISTILL)
    grant = worker.lease()
    assert grant.work.name == f"demo-trial-{grant.trial}"
    assert grant.work.steps == 1000
    assert worker.lease().work.name != grant.work.name


def test_finalist_that_fails_leaves_the_trial_completed(worker, suggester):
    searching(worker)
    while worker.study().state is StudyState.SEARCHING:
        suggester.step()
        worker.work(JobKind.MEASURE, JobKind.DISTILL)
    worker.fail(worker.lease(), FailureReason.INVALID, "no such opset")
    worker.work()
    study = worker.study()
    assert study.state is StudyState.COMPLETED
    assert study.finalists == {"completed": 1, "failed": 1}
    failed = next(trial for trial in worker.trials() if trial.finalist and trial.finalist.error)
    assert failed.state is TrialState.COMPLETED
    assert "no such opset" in failed.finalist.error
    assert failed.finalist.failure is FailureReason.INVALID
    assert study.failure is None


def test_study_fails_when_no_finalist_could_be_finalized(worker, suggester):
    searching(worker)
    while worker.study().state is StudyState.SEARCHING:
        suggester.step()
        worker.work(JobKind.MEASURE, JobKind.DISTILL)
    for _ in range(2):
        worker.fail(worker.lease(), FailureReason.INVALID, "no such opset")
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert study.failure is FailureReason.INVALID
    assert "no such opset" in study.error


def test_failed_trials_are_replaced(worker, suggester):
    searching(worker, budget={"trials": 4})
    while worker.study().state is StudyState.SEARCHING:
        suggester.step()
        while (grant := worker.lease(kinds=(JobKind.MEASURE, JobKind.DISTILL))) is not None:
            if grant.trial % 2:
                worker.fail(grant, FailureReason.INVALID)
            else:
                worker.report(grant)
    assert worker.study().state is StudyState.FINALIZING
    assert worker.study().trials == {"failed": 4, "completed": 4}


def test_failing_trials_are_not_replaced_for_ever(worker, suggester):
    searching(worker, budget={"trials": 2})
    while worker.study().state is StudyState.SEARCHING:
        suggester.step()
        while (grant := worker.lease()) is not None:
            worker.fail(grant, FailureReason.INVALID, "no such thing")
    assert worker.study().trials == {"failed": 4}
    assert "4 failed" in worker.study().error
    assert "no such thing" in worker.study().error


def test_search_ends_when_the_space_has_no_more(worker, suggester):
    space = {"layers": [1, 2], "hidden_size": [32], "heads": [2], "head_size": [16], "ffn_size": [32]}
    searching(worker, search_space=space, budget={"trials": 50, "finalists": 1})
    search(worker, suggester)
    assert worker.study().state is StudyState.COMPLETED
    assert len(worker.trials()) == 3  # the baseline lies outside


def test_search_without_a_feasible_trial_fails_and_says_why(worker, suggester):
    searching(worker, constraints=["accuracy >= 99 %"])
    search(worker, suggester)
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "none of 6 trials was completed: 6 infeasible" in study.error
    assert "breaks accuracy >= 0.99" in study.error


def test_suggestions_are_computed_inside_the_guard(worker, store):
    entered = []

    @contextmanager
    def guard():
        entered.append(threading.current_thread().name)
        yield

    searching(worker)
    Suggester(store, guard).step()
    assert len(entered) == 1


def test_results_that_came_in_while_the_guard_let_wait_are_seen(worker, store):
    searching(worker)

    @contextmanager
    def guard():
        worker.work()
        yield

    Suggester(store, guard).step()
    assert worker.study().trials == {"completed": 1, "pending": 2}


def test_several_suggesters_do_not_oversupply(worker, store):
    searching(worker, budget={"trials": 30, "parallel": 4})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Suggester(store, nullcontext).step(), range(4)))
    assert len(worker.trials()) == 5


def test_study_of_a_suggester_that_died_is_free_after_its_lease(worker, store, clock, suggester):
    searching(worker)
    with store.write() as uow:
        assert uow.studies.lease_suggester(1, "dead", uow.now, LEASE_S) == 1
    assert not suggester.step()
    clock.advance(LEASE_S)
    assert suggester.step()


def test_suggestions_of_a_lost_lease_are_dropped(worker, store, clock):
    searching(worker)

    @contextmanager
    def guard():
        clock.advance(LEASE_S)
        with store.write() as uow:
            uow.studies.lease_suggester(1, "other", uow.now, LEASE_S)
        yield

    assert not Suggester(store, guard).step()
    assert len(worker.trials()) == 1


def test_suggester_outlives_a_full_disk(settings, worker):
    searching(worker)
    stop = threading.Event()
    full = iter([True])

    @contextmanager
    def guard():
        if next(full, False):
            raise StorageFullError("the database cannot grow")
        yield
        stop.set()

    run_suggester(settings, guard, stop)
    assert len(worker.trials()) == 2


def test_suggester_forgets_the_spaces_of_studies_that_it_no_longer_supplies(worker, suggester):
    searching(worker)
    search(worker, suggester)
    suggester.step()
    assert suggester._spaces == {}


def test_suggester_runs_until_it_is_told_to_stop(settings, worker):
    searching(worker)
    stop = threading.Event()
    supplied = threading.Event()

    @contextmanager
    def guard():
        yield
        supplied.set()

    thread = threading.Thread(target=run_suggester, args=(settings, guard, stop))
    thread.start()
    assert supplied.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert len(worker.trials()) == 2


def deleted(store, name):
    with store.write() as uow:
        stop_study(uow, name)
    with store.write() as uow:
        delete_study(uow, name)


def test_a_study_that_is_deleted_while_it_is_supplied_stops_nobody(worker, store):
    searching(worker)
    searching(worker, name="other")
    gone = iter([True])

    @contextmanager
    def guard():
        if next(gone, False):
            deleted(store, "demo")
        yield

    assert Suggester(store, guard).step()
    with store.read() as uow:
        assert set(uow.studies.names()) == {"other"}
    assert len(worker.trials("other")) == 2


def test_a_study_that_is_deleted_while_its_suggestions_are_computed_stops_nobody(worker, store):
    searching(worker)

    @contextmanager
    def guard():
        yield
        deleted(store, "demo")

    assert not Suggester(store, guard).step()
