"""Which machine gets which measurement, and what is said of those that get none."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from protocol.jobs import FailureReason, JobKind, JobState, Reading
from protocol.targets import Need, Target
from protocol.views import FinalistState, StudyState, TrialState
from service.operations.finalists import start_finalizing
from service.operations.paging import MOST
from service.operations.views import worker_page

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def target(**changes):
    return Target(**{"device": "cpu", "runtime": "torch", "threads": 4, "hardware_key": "k", **changes})


def searching(worker, **changes):
    """A study whose search has begun: its baseline waits to be measured."""
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def finalizing(worker):
    """A study with one finalist whose training waits."""
    searching(worker, budget={"trials": 1, "finalists": 1, "final_measuring": "report"})
    worker.work(JobKind.MEASURE, JobKind.DISTILL)
    with worker.store.write() as uow:
        assert start_finalizing(uow, uow.studies.lock(1))


@pytest.mark.parametrize(
    ("profile", "announced", "is_granted"),
    [
        ({}, {}, True),
        ({"threads": 4}, {}, True),
        ({"threads": 5}, {}, False),
        ({"dtype": "bfloat16"}, {}, True),
        ({"dtype": "bfloat16"}, {"dtypes": ("float32",)}, False),
        ({"runtime": "jax"}, {}, False),
        ({"runtime": "jax"}, {"runtime": "jax"}, True),
        ({"device": "tpu", "runtime": "jax", "chip": "v4"}, {"device": "tpu", "runtime": "jax"}, False),
        (
            {"device": "tpu", "runtime": "jax", "chip": "v4"},
            {"device": "tpu", "runtime": "jax", "chips": ("v4",)},
            True,
        ),
        ({"device": "tpu", "runtime": "jax"}, {"device": "tpu", "runtime": "jax", "chips": ("v4",)}, False),
        ({"batch": 32, "length": 16}, {}, True),
    ],
)
def test_a_measurement_goes_only_to_a_machine_that_has_the_target(worker, profile, announced, is_granted):
    worker.create(target={"batch": 1, "length": 32, "threads": 1, **profile})
    worker.work(JobKind.PREPARE)
    assert (worker.lease(targets=(target(**announced),)) is not None) == is_granted
    one_of_two = worker.lease(targets=(target(runtime="onnx"), target(**announced)))
    assert (one_of_two is not None) == (is_granted and worker.study().jobs[0].state is JobState.QUEUED)


def test_a_need_is_the_same_after_it_was_text():
    for need in (
        Need(device="cpu", runtime="torch", dtype="float32", threads=2),
        Need(device="tpu", runtime="jax", dtype="bfloat16", threads=1, chip="v5e"),
    ):
        assert Need.parse(str(need)) == need
        assert len(str(need)) <= 64


def test_a_study_that_nobody_can_measure_waits_and_says_for_what(worker, clock):
    worker.create(target={"device": "cuda", "runtime": "jax", "dtype": "bfloat16", "threads": 2})
    worker.work(JobKind.PREPARE)
    assert worker.lease() is None
    study = worker.study()
    assert study.state is StudyState.CALIBRATING
    assert study.machines == (
        "waiting for a machine that measures cuda jax bfloat16 with 2 threads: no worker that is alive has it",
    )
    clock.advance(1000)
    assert worker.study().state is StudyState.CALIBRATING
    cuda = target(device="cuda", runtime="jax")
    assert worker.lease("gpu", kinds=(JobKind.DISTILL,), targets=(cuda,)) is None
    assert worker.study().machines  # it has the target and takes no measurements
    grant = worker.lease("gpu", targets=(cuda,))
    assert grant.work.kind is JobKind.CALIBRATE
    assert worker.study().machines == ()


def test_a_study_stays_with_the_hardware_that_measured_its_references(worker, clock):
    searching(worker)
    assert worker.study().hardware_key == "k"
    other = (target(hardware_key="other"),)
    assert worker.lease("other", targets=other, kinds=(JobKind.MEASURE,)) is None
    worker.release(worker.lease("first", targets=(target(),)))
    (left_out,) = worker.study().machines
    assert "worker other measures the target on other hardware (other)" in left_out
    clock.advance(1000)
    assert worker.lease("other", targets=other, kinds=(JobKind.MEASURE,)) is None
    waiting, left_out = worker.study().machines
    assert waiting.startswith("waiting for the machine that measured its references, hardware k:")
    assert "under a new name" in waiting
    grant = worker.lease("first", targets=(target(),))
    assert grant.work.kind is JobKind.MEASURE
    worker.report(grant)
    assert worker.trials()[0].latency.hardware_key == "k"


def changed(measurement, key):
    return replace(measurement, hardware_key=key)


def test_an_estimate_is_made_by_the_compiler_that_estimated_the_references(worker):
    chip = {"device": "tpu", "runtime": "jax", "chips": ("v4",)}
    worker.create(target={"batch": 1, "length": 32, "threads": 1, "device": "tpu", "runtime": "jax", "chip": "v4"})
    worker.work(JobKind.PREPARE)
    worker.report(worker.lease("first", targets=(target(**chip),)))
    assert worker.lease("newer", targets=(target(**chip, hardware_key="newer"),)) is None
    assert worker.lease("first", targets=(target(**chip),)).work.kind is JobKind.MEASURE


def test_a_measurement_of_other_hardware_is_not_stored_but_taken_again(worker):
    searching(worker)
    grant = worker.lease()
    outcome = worker.answers.to(grant.work)
    worker.report(grant, outcome.model_copy(update={"measurement": changed(outcome.measurement, "other")}))
    (trial,) = worker.trials()
    assert (trial.state, trial.latency) == (TrialState.PENDING, None)
    again = worker.lease()
    assert (again.job, again.attempt) == (grant.job, 2)
    worker.report(again)
    assert worker.trials()[0].latency.hardware_key == "k"


def test_references_of_two_kinds_of_hardware_are_measured_again(worker):
    worker.create()
    worker.work(JobKind.PREPARE)
    grant = worker.lease()
    outcome = worker.answers.to(grant.work)
    name = next(iter(outcome.measurements))
    mixture = {**outcome.measurements, name: changed(outcome.measurements[name], "other")}
    worker.report(grant, outcome.model_copy(update={"measurements": mixture}))
    study = worker.study()
    assert (study.state, study.hardware_key, study.references) == (StudyState.CALIBRATING, None, {})
    worker.work(JobKind.CALIBRATE)
    assert worker.study().hardware_key == "k"


def test_a_machine_that_never_measures_alike_fails_the_trial_with_the_reason(worker):
    searching(worker)
    for _ in range(worker.settings.max_attempts):
        grant = worker.lease()
        outcome = worker.answers.to(grant.work)
        worker.report(grant, outcome.model_copy(update={"measurement": changed(outcome.measurement, "other")}))
    (trial,) = worker.trials()
    assert trial.state is TrialState.FAILED
    assert "measured on hardware other, and the study's latencies are of hardware k" in trial.reason


def test_who_can_measure_finalizes_and_measures_in_one_job(worker):
    finalizing(worker)
    grant = worker.lease(targets=(target(),))
    assert grant.work.profile is not None
    worker.report(grant)
    assert worker.study().state is StudyState.COMPLETED


@pytest.mark.parametrize("targets", [(), (target(hardware_key="other"),), (target(device="cuda"),)])
def test_a_finalist_is_trained_by_one_machine_and_measured_by_another(worker, targets):
    finalizing(worker)
    training = worker.lease("trainer", targets=targets)
    assert (training.work.kind, training.work.profile) == (JobKind.FINALIZE, None)
    worker.report(training)
    (trial,) = worker.trials()
    assert trial.state is TrialState.COMPLETED
    assert trial.finalist.state is FinalistState.FINALIZING
    assert trial.finalist.export is None
    assert trial.finalist.evaluation.report is not None

    assert worker.lease("trainer", targets=targets) is None
    measuring = worker.lease("measurer", targets=(target(),))
    assert measuring.work.kind is JobKind.MEASURE
    assert measuring.work.checkpoint == worker.artefact("export")
    assert measuring.work.effort == "report"
    assert measuring.work.architecture == training.work.architecture
    assert worker.trials()[0].state is TrialState.COMPLETED
    worker.release(measuring)
    assert worker.trials()[0].state is TrialState.COMPLETED

    worker.report(worker.lease("measurer", targets=(target(),)))
    (trial,) = worker.trials()
    assert trial.state is TrialState.COMPLETED
    assert trial.finalist.state is FinalistState.COMPLETED
    assert trial.finalist.export == worker.artefact("export")
    assert trial.finalist.latency.effort == "report"
    assert trial.latency.effort == "search"
    assert worker.study().state is StudyState.COMPLETED


def test_a_finalist_whose_export_cannot_be_measured_fails_and_its_trial_stays_completed(worker):
    finalizing(worker)
    worker.report(worker.lease(targets=()))
    worker.fail(worker.lease(), FailureReason.INVALID, "no room")
    (trial,) = worker.trials()
    assert trial.state is TrialState.COMPLETED
    assert trial.finalist.state is FinalistState.FAILED
    assert "no room" in trial.finalist.error
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "none of the 1 finalists" in study.error


def reading(p50_ms, key="k", disturbed=False, name="cpu/torch/float32", at=NOON):
    return Reading(
        target=name, hardware_key=key, p50_s=p50_ms / 1e3, disturbed=disturbed, tolerance=0.07, measured_at=at
    )


def drifts(worker, name):
    with worker.store.read() as uow:
        return next(view for view in worker_page(uow, MOST, None).items if view.name == name)


def test_a_drift_is_told_against_earlier_readings_of_equal_hardware(worker):
    worker.lease("old", readings=(reading(1.0), reading(1.02), reading(9.0, disturbed=True)))
    worker.lease("elsewhere", readings=(reading(5.0, key="other"), reading(5.0, name="cuda/torch/float32")))
    first = drifts(worker, "old").drifts[0]
    assert (first.p50_s, first.earlier, first.beyond) == (1.02e-3, 1, False)
    worker.lease("old", readings=(reading(0.98),))
    worker.lease("new", readings=(reading(1.05),))
    within = drifts(worker, "new")
    assert within.drifts[0].earlier == 3
    assert within.drifts[0].drift == pytest.approx(0.04879, abs=1e-4)
    assert within.notes == ()
    worker.lease("new", readings=(reading(1.2),))
    beyond = drifts(worker, "new")
    assert beyond.drifts[0].beyond
    assert (
        "takes 18.8% more than the median of 4 earlier readings on such hardware (cpu/torch/float32)" in beyond.notes[0]
    )
    assert drifts(worker, "old").notes == ()
    worker.lease("new", readings=(reading(1.0),))
    assert drifts(worker, "new").notes == ()


def test_few_readings_tell_no_drift(worker):
    worker.lease(readings=(reading(1.0), reading(1.0), reading(2.0)))
    (drift,) = drifts(worker, "w").drifts
    assert (drift.earlier, drift.beyond) == (2, False)


def test_what_is_measured_while_the_machine_has_drifted_says_so(worker):
    worker.create()
    worker.work(JobKind.PREPARE)
    worker.lease("idle", kinds=(JobKind.PREPARE,), readings=[reading(1.0)] * 4)
    grant = worker.lease("slow", readings=(reading(1.3), reading(3.0, name="cuda/torch/float32")))
    worker.report(grant)
    references = worker.study().references.values()
    assert all(len(latency.notes) == 1 and "takes 30.0% more" in latency.notes[0] for latency in references)
    worker.report(worker.lease("fine", readings=(reading(1.01),)))
    assert worker.trials()[0].latency.notes == ()


def test_a_drift_of_before_the_machine_changed_is_over(worker):
    worker.create()
    worker.work(JobKind.PREPARE)
    worker.lease("idle", kinds=(JobKind.PREPARE,), readings=[reading(1.0)] * 4)
    worker.lease("changed", kinds=(JobKind.PREPARE,), readings=(reading(1.3, name="cuda/torch/float32"),))
    worker.lease("changed", kinds=(JobKind.PREPARE,), readings=(reading(1.3),))
    assert len(drifts(worker, "changed").notes) == 1
    grant = worker.lease("changed", readings=(reading(2.0, key="after"),))
    assert {(drift.target, drift.hardware_key) for drift in drifts(worker, "changed").drifts} == {
        ("cpu/torch/float32", "after"),
        ("cuda/torch/float32", "k"),
    }
    worker.report(grant)
    assert all(latency.notes == () for latency in worker.study().references.values())


def test_a_reading_of_long_ago_tells_nothing(worker, clock):
    searching(worker)
    worker.lease("idle", kinds=(JobKind.PREPARE,), readings=[reading(1.0)] * 4)
    grant = worker.lease("slow", readings=(reading(1.3),))
    clock.advance(3600)
    worker.renew(grant)
    assert len(drifts(worker, "slow").notes) == 1
    clock.advance(3 * 3600)
    worker.lease("slow", kinds=(JobKind.PREPARE,), readings=(reading(1.3, disturbed=True, at=clock.now),))
    assert (drifts(worker, "slow").drifts, drifts(worker, "slow").notes) == ((), ())
    worker.lease("slow", kinds=(JobKind.PREPARE,), readings=(reading(1.31, at=clock.now),))
    assert len(drifts(worker, "slow").notes) == 1
