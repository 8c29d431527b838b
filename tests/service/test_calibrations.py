"""What was calibrated is kept, found again for a study, and asked for predictions."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.values import HeadKind
from hardware.values import Effort
from protocol.calibration import CalibrationRecord
from protocol.jobs import Calibrated, JobKind
from protocol.study import StudySpec
from protocol.views import StudyState
from search_space import Architecture, Choice
from service.errors import InvalidError, NotFoundError
from service.operations.calibrations import (
    calibration_page,
    get_calibration,
    predictors,
    preview_latencies,
    store_calibration,
)
from service.operations.paging import MOST
from service.operations.preview import preview
from service.operations.supply import read_supply, space_of
from service.operations.trials import add_trial

BUDGET = {"trials": 6, "finalists": 2, "measuring": "quick", "final_measuring": "search"}
WITH_CALIBRATION = BUDGET | {"calibration": 24}
INSIDE = Architecture(vocabulary_size=100, layers=2, hidden_size=32, heads=2, head_size=16, ffn_size=64)
OUTSIDE = replace(INSIDE, layers=40)


def begun(worker, **changes):
    """The study of these tests, as far as the search; its calibrate jobs."""
    worker.create(**changes)
    worker.work(JobKind.PREPARE)
    return [grant.work for grant in worker.work(JobKind.CALIBRATE)]


def asked(worker, question, *arguments):
    with worker.store.read() as uow:
        return question(uow, *arguments)


def calibrations_of(worker):
    return asked(worker, calibration_page, MOST, None).items


def of_study(worker, question):
    """A question about the study, which must be asked while its transaction lasts."""
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        return question(uow, study, space_of(study))


def trial(worker, architecture):
    with worker.store.write() as uow:
        add_trial(uow, uow.studies.lock(uow.studies.find("demo").id), architecture, "test")
    return worker.trials()[-1]


@pytest.fixture
def record(worker):
    """A calibration of the study's target, of an earlier study."""
    begun(worker, name="earlier", budget=WITH_CALIBRATION)
    (view,) = calibrations_of(worker)
    return asked(worker, get_calibration, view.id)


def test_without_a_calibration_only_the_references_are_measured(worker):
    (work,) = begun(worker)
    assert work.references
    assert not work.sample
    assert calibrations_of(worker) == ()
    assert trial(worker, INSIDE).predicted is None
    assert of_study(worker, predictors) == {}


def test_a_sample_of_the_space_is_measured_once_the_references_are(worker, answers):
    references, sample = begun(worker, budget=WITH_CALIBRATION)
    assert list(references.references) == ["teacher", "smallest", "largest"]
    assert sample.references == {}
    assert len(set(sample.sample)) == 24
    assert sample.effort is Effort.QUICK
    assert worker.study().state is StudyState.SEARCHING
    (view,) = calibrations_of(worker)
    assert (view.architectures, view.hardware_key, view.space_key) == (24, "k", sample.space_key)
    assert view.profile == worker.study().spec.target
    assert {row.architecture for row in asked(worker, get_calibration, view.id).rows} == set(sample.sample)


def test_a_space_of_few_architectures_needs_none(worker):
    space = {"layers": [1, 2], "hidden_size": [32, 64], "heads": 2, "head_size": 16, "ffn_size": [32, 64]}
    assert len(begun(worker, budget=WITH_CALIBRATION, search_space=space)) == 1
    assert worker.study().state is StudyState.SEARCHING


def test_predicted_latencies_stand_beside_measured_ones(worker, answers):
    begun(worker, budget=WITH_CALIBRATION)
    found = trial(worker, INSIDE)
    truth = answers.latency_s(INSIDE)
    assert found.latency is None
    assert found.predicted.latency_s == pytest.approx(truth, rel=0.03)
    assert found.predicted.low_s < truth < found.predicted.high_s
    assert found.predicted.quantile == "p50"
    worker.work(JobKind.MEASURE)
    measured = worker.trials()[-1]
    assert measured.latency.source == "measured"
    assert measured.predicted == found.predicted


def test_shapes_beyond_those_that_were_measured_are_not_predicted(worker):
    begun(worker, budget=WITH_CALIBRATION)
    assert trial(worker, OUTSIDE).predicted is None


def test_the_next_study_takes_the_calibration_that_is_there(worker, record):
    (work,) = begun(worker, budget=WITH_CALIBRATION)
    assert work.references
    assert len(calibrations_of(worker)) == 1
    assert trial(worker, INSIDE).predicted.calibration == record.id


@pytest.mark.parametrize(
    "changes",
    [
        {"target": {"batch": 1, "length": 64, "threads": 1}},
        {"objectives": ["accuracy", "latency_p90"]},
        {
            "search_space": {
                "layers": [1, 2, 4],
                "hidden_size": [64],
                "heads": [1, 2, 4],
                "head_size": 16,
                "ffn_size": [32, 256],
            }
        },
    ],
)
def test_a_calibration_of_something_else_serves_nobody(worker, record, changes):
    assert len(begun(worker, **{"budget": WITH_CALIBRATION} | changes)) == 2


def test_a_calibration_of_another_machine_or_head_serves_nobody(worker, record):
    begun(worker)
    assert of_study(worker, predictors)
    head = record.head
    with worker.store.write() as uow:
        row = uow.calibrations.find(record.id)
        row.hardware_key = "another"
    assert of_study(worker, predictors) == {}
    masked = replace(head, kind=HeadKind.MASKED_LM, classes=0)
    with worker.store.write() as uow:
        store_calibration(uow, record.model_copy(update={"head": masked}))
    assert of_study(worker, predictors) == {}


def test_the_newest_calibration_counts(worker, record):
    begun(worker)
    older = record.model_copy(update={"measured_at": "2020-01-01T00:00:00+00:00"})
    newer = record.model_copy(update={"measured_at": "2040-01-01T02:00:00+02:00"})
    for one in (newer, older):
        with worker.store.write() as uow:
            store_calibration(uow, one)
    assert [view.id for view in calibrations_of(worker)] == [newer.id, record.id, older.id]
    assert trial(worker, INSIDE).predicted.calibration == newer.id


def test_calibrations_come_in_pages_the_newest_first(http, worker, record):
    taken_at = ["2040-01-01T00:00:00+00:00", "2040-01-01T02:00:00+02:00", "2020-01-01T00:00:00+00:00"]
    for place, measured_at in enumerate(taken_at):  # two of them at one instant
        with worker.store.write() as uow:
            changed = {"measured_at": measured_at, "hardware_key": f"machine-{place}"}
            store_calibration(uow, record.model_copy(update=changed))
    found, path = [], "/v1/calibrations?limit=1"
    while path is not None:
        answer = http.get(path)
        (view,) = answer.json()
        found.append(view)
        path = answer.links.get("next", {}).get("url")
    assert found == http.get("/v1/calibrations").json()
    assert {view["hardware_key"] for view in found[:2]} == {"machine-0", "machine-1"}
    assert [view["hardware_key"] for view in found[2:]] == [record.hardware_key, "machine-2"]


def test_a_strategy_may_ask_for_the_latency_of_every_architecture(worker, answers, record):
    begun(worker)
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        space = space_of(study)
        (metric, model), *others = predictors(uow, study, space).items()
    assert (metric, others) == ("latency_p50", [])
    means, deviations = model.predict(space)
    truth = np.log([answers.latency_s(one) for one in space.architectures(range(space.size))])
    assert means.shape == deviations.shape == (space.size,)
    assert np.abs(means - truth).max() < 0.1
    assert (np.abs(means - truth) < 3 * deviations).mean() > 0.9


def test_what_a_calibration_says_of_a_space_is_asked_once(worker, record):
    begun(worker)
    known = {}
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        space = space_of(study)
        first, again = (predictors(uow, study, space, known)["latency_p50"] for _ in range(2))
    assert list(known) == [record.id]
    assert again is first
    assert again.predict(space)[0] is first.predict(space)[0]
    part = space.constrained("layers == 2")
    assert again.predict(part)[0].shape == (part.size,)


def test_a_calibration_that_does_not_cover_the_space_is_judged_once_too(worker, record):
    begun(worker)
    known = {}
    with worker.store.read() as uow:
        study = uow.studies.find("demo")
        space = space_of(study)
        wide = replace(space, dimensions=space.dimensions | {"layers": Choice(values=(1, 40))}, constraints=())
        assert not record.model.covers(wide)
        assert predictors(uow, study, wide, known) == {}
    assert known == {record.id: None}


@pytest.mark.parametrize(("strategy", "asked_for"), [("sobol", []), ("pareto", ["latency_p50"])])
def test_only_a_strategy_that_uses_predictors_gets_them(worker, record, strategy, asked_for):
    worker.create(name=strategy, strategy=strategy)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    with worker.store.read() as uow:
        study = uow.studies.find(strategy)
        assert list(read_supply(uow, study, space_of(study)).study.predictors) == asked_for


def test_a_preview_tells_what_is_predicted_of_the_space(worker, record):
    spec = worker.study("earlier").spec
    with worker.store.read() as uow:
        (found,) = preview(spec, lambda space: preview_latencies(uow, spec, space)).latencies
    assert found.calibration.id == record.id
    assert found.fastest_s <= found.median_s <= found.slowest_s
    latencies = [row.latency_s for row in record.rows]
    assert found.fastest_s == pytest.approx(min(latencies), rel=0.1)
    assert found.slowest_s == pytest.approx(max(latencies), rel=0.1)
    assert preview(spec).latencies == ()
    other = StudySpec.model_validate(spec.model_dump() | {"target": {"length": 64}})
    with worker.store.read() as uow:
        assert preview_latencies(uow, other, other.space()) == ()


def test_a_latency_that_hardly_depends_on_the_space_is_noted(worker, answers):
    noise = iter(np.random.default_rng(0).standard_normal(1000))
    answers.latency_s = lambda _: 5e-3 * np.exp(0.01 * next(noise))
    begun(worker, budget=WITH_CALIBRATION)
    assert any("predicted of held-out architectures" in note for note in worker.study().notes)


def test_the_same_calibration_is_kept_once(worker, record):
    with worker.store.write() as uow:
        assert store_calibration(uow, record) == (record.id, False)
    assert len(calibrations_of(worker)) == 1


def test_outcomes_that_do_not_answer_the_sample_are_refused(worker, answers, record):
    worker.create(budget=WITH_CALIBRATION, target={"batch": 2, "length": 32})
    worker.work(JobKind.PREPARE)
    worker.report(worker.lease(kinds=(JobKind.CALIBRATE,)))
    grant = worker.lease(kinds=(JobKind.CALIBRATE,))
    with pytest.raises(InvalidError, match="has no calibration"):
        worker.report(grant, Calibrated(measurements={}))
    with pytest.raises(InvalidError, match="the calibration is of"):
        worker.report(grant, Calibrated(measurements={}, calibration=record))
    worker.report(grant)
    assert worker.study().state is StudyState.SEARCHING


def test_a_calibration_that_failed_stops_no_study(worker):
    worker.create(budget=WITH_CALIBRATION)
    worker.work(JobKind.PREPARE)
    worker.report(worker.lease(kinds=(JobKind.CALIBRATE,)))
    for _ in range(worker.settings.max_attempts):
        assert worker.study().state is StudyState.CALIBRATING
        worker.fail(worker.lease(kinds=(JobKind.CALIBRATE,)), message="the machine changed")
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    assert "the calibration failed: error: the machine changed" in study.notes[-1]
    assert [trial.origin for trial in worker.trials()] == ["baseline: half-depth"]


def test_a_model_that_cannot_be_used_is_refused(worker, record):
    broken = [
        replace(record.model, length=7),
        replace(record.model, level=1e300, scale=1e308),
        replace(record.model, names=tuple(f"x{place}" for place in range(len(record.model.names)))),
    ]
    for model in broken:
        with worker.store.write() as uow, pytest.raises(InvalidError, match="model"):
            store_calibration(uow, record.model_copy(update={"model": model}))


def test_a_calibration_that_is_not_there_is_not_found(worker):
    with pytest.raises(NotFoundError, match="no calibration"):
        asked(worker, get_calibration, "0" * 64)


def test_calibrations_over_http(http, worker, record):
    body = record.model_copy(update={"hardware_key": "elsewhere"}).model_dump(mode="json")
    created = http.post("/v1/calibrations", json=body)
    assert created.status_code == 201
    assert http.post("/v1/calibrations", json=body).status_code == 200
    identity = created.json()["id"]
    assert {view["id"] for view in http.get("/v1/calibrations").json()} == {identity, record.id}
    again = http.get(f"/v1/calibrations/{identity}")
    assert CalibrationRecord.model_validate_json(again.content).id == identity
    assert http.get(f"/v1/calibrations/{'0' * 64}").status_code == 404
    assert http.get("/v1/calibrations/x").status_code == 422
    body["model"]["noise"][0] = -1.0
    assert http.post("/v1/calibrations", json=body).status_code == 422
    spec = worker.study("earlier").spec.canonical()
    latencies = http.post("/v1/preview", json={"spec": spec}).json()["latencies"]
    assert {one["calibration"]["hardware_key"] for one in latencies} == {"k", "elsewhere"}
