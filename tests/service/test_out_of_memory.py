"""What does not fit into the memory of its device is infeasible, and ends no study that has something smaller."""

import pytest

from optimization.strategy import Standing
from protocol.jobs import AttemptEnd, Calibrated, Failure, FailureReason, JobKind
from protocol.views import FinalistState, StudyState, TrialState
from search_space import Architecture
from service.errors import InvalidError
from service.operations.evidence import strategy_trials
from service.operations.finalists import start_finalizing
from service.operations.trials import add_trial
from tests.outcomes import SEARCH_SPACE

NO_ROOM = "can't allocate memory: you tried to allocate 4 GiB"
TIED = ["layers * hidden_size == 64", "ffn_size == 32"]


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def add(worker, count):
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        for number in range(count):
            shape = {"layers": 1, "hidden_size": 32, "heads": 2, "head_size": 16, "ffn_size": 200 + number}
            add_trial(uow, study, Architecture(vocabulary_size=100, **shape), "test")


def calibrated(worker, *missing):
    """The references, but those named do not fit."""
    grant = worker.lease()
    assert grant.work.kind is JobKind.CALIBRATE
    found = worker.answers.to(grant.work)
    measured = {name: one for name, one in found.measurements.items() if name not in missing}
    worker.report(grant, Calibrated(measurements=measured, missing=dict.fromkeys(missing, NO_ROOM)))


def test_trial_that_cannot_be_measured_for_its_size_is_infeasible_and_not_tried_again(worker):
    searching(worker)
    grant = worker.lease()
    worker.fail(grant, FailureReason.OUT_OF_MEMORY, NO_ROOM)
    (trial,) = worker.trials()
    assert (trial.state, trial.reason) == (TrialState.INFEASIBLE, f"out of memory: {NO_ROOM}")
    assert [attempt.reason for attempt in worker.job(grant.job).attempts] == [AttemptEnd.OUT_OF_MEMORY]
    assert worker.lease() is None
    assert worker.study().spent_trials == 1


def test_strategy_learns_from_it(worker):
    searching(worker)
    worker.fail(worker.lease(), FailureReason.OUT_OF_MEMORY, NO_ROOM)
    with worker.store.read() as uow:
        (seen,) = strategy_trials(uow, uow.studies.get(1), uow.trials.of(1))
    assert seen.standing is Standing.INFEASIBLE


def test_trial_that_is_too_large_to_be_trained_is_infeasible_with_its_latency(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    worker.fail(worker.lease(), FailureReason.OUT_OF_MEMORY, NO_ROOM)
    (trial,) = worker.trials()
    assert trial.state is TrialState.INFEASIBLE
    assert "latency_p50" in trial.metrics


def test_any_number_of_such_trials_ends_no_study(worker):
    searching(worker)
    add(worker, 6)
    while (grant := worker.lease()) is not None:
        worker.fail(grant, FailureReason.OUT_OF_MEMORY, NO_ROOM)
    study = worker.study()
    assert (study.state, study.trials) == (StudyState.SEARCHING, {"infeasible": 7})


def test_study_is_searched_to_its_end_where_large_ones_do_not_fit(worker):
    def measured(grant):
        does_not_fit = grant.work.architecture.ffn_size == 128
        failure = Failure(reason=FailureReason.OUT_OF_MEMORY, message=NO_ROOM)
        return failure if does_not_fit else worker.answers.to(grant.work)

    worker.create(strategy="pareto", budget={"trials": 12, "finalists": 1})
    worker.finish({JobKind.MEASURE: measured})
    study = worker.study()
    assert (study.state, study.spent_trials) == (StudyState.COMPLETED, 12)
    infeasible = [trial for trial in worker.trials() if trial.state is TrialState.INFEASIBLE]
    assert infeasible
    assert all(trial.architecture.ffn_size == 128 for trial in infeasible)


@pytest.mark.parametrize("targets", [("cpu/torch",), ()])
def test_finalist_whose_export_does_not_fit_fails_with_that_reason_and_is_not_tried_again(worker, targets):
    """Measured by the machine that trained it, or by another one."""
    searching(worker, budget={"trials": 1, "finalists": 1})
    worker.work(JobKind.MEASURE, JobKind.DISTILL)
    with worker.store.write() as uow:
        assert start_finalizing(uow, uow.studies.lock(1))
    grant = worker.lease(targets=targets)
    if not targets:
        worker.report(grant)
        grant = worker.lease()
        assert grant.work.kind is JobKind.MEASURE
    worker.fail(grant, FailureReason.OUT_OF_MEMORY, NO_ROOM)
    (trial,) = worker.trials()
    assert (trial.state, trial.finalist.state) == (TrialState.COMPLETED, FinalistState.FAILED)
    assert trial.finalist.failure is FailureReason.OUT_OF_MEMORY
    assert worker.lease() is None
    assert worker.study().failure is FailureReason.OUT_OF_MEMORY


@pytest.mark.parametrize("missing", [("largest",), ("teacher",), ("teacher", "largest")])
def test_study_is_searched_without_references_that_do_not_fit(worker, missing):
    worker.create(constraints=["latency_p50 <= 5 ms"])
    worker.work(JobKind.PREPARE)
    calibrated(worker, *missing)
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    assert set(study.references) == {"teacher", "smallest", "largest"} - set(missing)
    told = [note for note in study.notes if "does not fit into the memory of cpu torch float32" in note]
    assert len(told) == len(missing)
    assert all(NO_ROOM in note for note in told)
    worker.finish({})
    assert worker.study().state is StudyState.COMPLETED


def test_study_none_of_whose_architectures_fits_ends_and_says_so(worker):
    worker.create()
    worker.work(JobKind.PREPARE)
    calibrated(worker, "teacher", "smallest", "largest")
    study = worker.study()
    assert (study.state, study.failure) == (StudyState.FAILED, FailureReason.OUT_OF_MEMORY)
    assert study.error.startswith("search_space: not even its smallest architecture (1x16")
    assert NO_ROOM in study.error


def test_architecture_of_fewest_parameters_may_be_larger_in_some_dimension_than_one_that_fits(worker):
    worker.create(search_space={**SEARCH_SPACE, "constraints": TIED})
    worker.work(JobKind.PREPARE)
    calibrated(worker, "teacher", "smallest", "largest")
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    assert sum("does not fit" in note for note in study.notes) == 3
    worker.work(JobKind.MEASURE)
    assert worker.study().hardware_key == "k"


def test_references_that_were_not_asked_for_are_refused(worker):
    worker.create()
    worker.work(JobKind.PREPARE)
    grant = worker.lease()
    found = worker.answers.to(grant.work)
    for missing in ({"middle": NO_ROOM}, {"teacher": NO_ROOM}):
        with pytest.raises(InvalidError, match="a calibration measures teacher, smallest, largest"):
            worker.report(grant, found.model_copy(update={"missing": missing}))


def test_worker_of_before_is_served_still(worker):
    worker.create()
    assert worker.lease(protocol_version=2) is not None
