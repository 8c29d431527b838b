import itertools

import numpy as np
import pytest

from optimization.front import front, hypervolume
from protocol.devices import DeviceView
from protocol.jobs import CurvePoint, JobKind, Report
from protocol.plots import CurvesView, MeasurementView, PointsView
from protocol.views import FrontPoint, FrontView, TrialView
from service.operations.importance import FEWEST, shares
from service.operations.points import points_view
from service.operations.supply import end_search
from service.operations.trials import add_trial


def add(worker, *sizes):
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        base = uow.trials.of(study.id)[0].architecture
        for size in sizes:
            add_trial(uow, study, type(base)(**{**base.to_dict(), "ffn_size": size}), "test", {"accuracy": 0.5})


@pytest.fixture
def searched(worker):
    """A completed study of five trials with one finalist."""
    worker.create(budget={"trials": 5, "finalists": 1})
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    add(worker, 40, 48, 56, 72)
    worker.work()
    with worker.store.write() as uow:
        end_search(uow, 1, uow.studies.lease_suggester(1, "s", uow.now, 10.0))
    worker.work()
    return worker


def test_points_say_what_the_trials_say(searched):
    with searched.store.read() as uow:
        points = PointsView.model_validate_json(points_view(uow, "demo").model_dump_json())
    trials = searched.trials()
    assert points.numbers == tuple(trial.number for trial in trials) == (1, 2, 3, 4, 5)
    assert points.states == tuple(trial.state for trial in trials)
    assert points.labels == tuple(trial.label for trial in trials)
    assert points.origins == ("baseline: half-depth", "test", "test", "test", "test")
    assert points.on_front == tuple(trial.on_front for trial in trials)
    assert any(points.on_front)
    for name in ("accuracy", "latency_p50", "parameters"):
        assert points.metrics[name] == tuple(trial.metrics[name] for trial in trials)
    assert points.deviations["parameters"] == (0.0,) * 5
    assert points.deviations["latency_p50"][0] == pytest.approx(0.01 * points.metrics["latency_p50"][0])
    assert points.dimensions["ffn_size"] == tuple(trial.architecture.ffn_size for trial in trials)
    assert {"layers", "hidden_size", "heads"} <= points.dimensions.keys()
    assert not {"norm", "pooler", "trigram"} & points.dimensions.keys()
    assert points.predicted == {"accuracy": (None, 0.5, 0.5, 0.5, 0.5)}
    values = [None if trial.finalist is None else trial.finalist.evaluation.selection.value for trial in trials]
    assert points.full == {"accuracy": tuple(values)}
    assert sum(value is not None for value in values) == 1


def test_points_of_trials_that_know_nothing_yet_are_empty(worker):
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    with worker.store.read() as uow:
        points = points_view(uow, "demo")
    assert (points.metrics, points.full, points.predicted) == ({}, {}, {})
    assert list(points.states) == ["pending"]


def test_details_over_http(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    while (grant := http_worker.lease()).work.kind is not JobKind.DISTILL:
        http_worker.post(grant, "report", Report(attempt=1, result=http_worker.answers.to(grant.work)))
    path = "/v1/studies/demo/trials/1"
    http.post(f"/v1/jobs/{grant.job}:renew", json={"attempt": 1, "curve": [{"step": 5, "value": 0.5}]})
    curves = CurvesView.model_validate_json(http.get(f"{path}/curves").content)
    assert curves == CurvesView(flash=(), full=(), running=(CurvePoint(step=5, value=0.5),), teacher=0.85)
    report = Report(attempt=1, result=http_worker.answers.to(grant.work))
    http_worker.post(grant, "report", report)
    curves = CurvesView.model_validate_json(http.get(f"{path}/curves").content)
    assert (curves.flash, curves.running) == (report.result.curve, ())

    (told,) = [MeasurementView.model_validate(one) for one in http.get(f"{path}/measurements").json()]
    assert (told.role, told.samples, told.measurement.samples_s) == ("trial", 10, [])
    (whole,) = [MeasurementView.model_validate(one) for one in http.get(f"{path}/measurements?samples=true").json()]
    assert sum(map(len, whole.measurement.samples_s)) == 10
    assert whole.measurement.environment == {"cpu": "imagined"}

    assert PointsView.model_validate_json(http.get("/v1/studies/demo/points").content).numbers == (1,)
    assert http.get("/v1/studies/demo/history").json() == []
    assert http.get("/v1/studies/demo/importance").json() == {"accuracy": None, "latency_p50": None}


@pytest.mark.parametrize(
    "path", ["points", "history", "importance", "trials/1/curves", "trials/1/measurements", "trials/9/curves"]
)
def test_details_of_what_is_not_there_are_not_found(http, http_worker, spec, path):
    assert http.get(f"/v1/studies/none/{path}").json()["code"] == "not_found"
    http.post("/v1/studies", json={"spec": spec})
    if "trials" in path:
        assert http.get(f"/v1/studies/demo/{path}").json()["code"] == "not_found"


def test_history_over_http_is_that_of_the_front(http, http_worker, spec, settings, clock, worker):
    worker.create(budget={"trials": 5, "finalists": 1})
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    add(worker, 40, 48, 56, 72)
    worker.work()
    view = FrontView.model_validate_json(http.get("/v1/studies/demo/front").content)
    history = [FrontPoint.model_validate(point) for point in http.get("/v1/studies/demo/history").json()]
    assert list(view.history) == history
    assert [point.trials for point in history] == [1, 2, 3, 4, 5]
    trials = [TrialView.model_validate(one) for one in http.get("/v1/studies/demo/trials").json()]
    objectives = worker.study().spec.objectives
    rows = [trial.metrics for trial in trials]
    for point in history:
        expected = hypervolume(objectives, rows[: point.trials], view.reference)
        assert point.hypervolume == pytest.approx(expected)
    assert view.numbers == tuple(trials[place].number for place in front(objectives, rows))


def test_devices_are_what_measured_and_who_is_there(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    target = {"device": "cpu", "runtime": "torch", "hardware_key": "k"}
    while (grant := http_worker.lease(targets=(target,), kinds=(JobKind.PREPARE, JobKind.CALIBRATE))) is not None:
        http_worker.post(grant, "report", Report(attempt=1, result=http_worker.answers.to(grant.work)))
    http_worker.lease(worker="other", targets=({**target, "hardware_key": "l"},), kinds=())
    one, other = [DeviceView.model_validate(each) for each in http.get("/v1/devices").json()]
    assert (one.hardware_key, one.workers, one.alive, one.studies) == ("k", ("w",), ("w",), ("demo",))
    assert one.environment == {"cpu": "imagined"}
    assert [each.label for each in one.targets] == ["cpu/torch"]
    assert (other.hardware_key, other.workers, other.studies, other.environment) == ("l", ("other",), (), None)


class TestImportance:
    rng = np.random.default_rng(0)

    def grid(self):
        points = list(itertools.product((1, 2, 3, 4), (16, 32, 64), ("gelu", "relu")))
        return dict(zip(("layers", "hidden_size", "activation"), map(list, zip(*points, strict=True)), strict=True))

    def test_a_metric_that_follows_one_dimension_is_all_of_that(self):
        grid = self.grid()
        found = shares([layers**3 for layers in grid["layers"]], grid)
        assert found == {"layers": pytest.approx(1), "hidden_size": 0, "activation": 0}

    def test_what_matters_more_has_the_larger_share_also_where_it_is_not_monotone_or_no_number(self):
        grid = self.grid()
        values = [
            10 * abs(layers - 2.4) + (activation == "relu")
            for layers, activation in zip(grid["layers"], grid["activation"], strict=True)
        ]
        found = shares(values, grid)
        assert found["layers"] > found["activation"] > found["hidden_size"] == 0
        assert sum(found.values()) == pytest.approx(1)

    def test_it_is_the_same_of_a_metric_and_its_logarithm(self):
        grid = self.grid()
        values = np.exp(np.array(grid["layers"]) + self.rng.normal(size=24))
        assert shares(values, grid) == shares(np.log(values), grid)

    def test_noise_tells_little_of_a_dimension_with_many_values(self):
        parts = []
        for _ in range(50):
            values = self.rng.normal(size=60)
            column = self.rng.integers(0, 50, size=60).tolist()
            found = shares([*values], {"ffn_size": column, "layers": [0, 1] * 30})
            parts.append(0.5 if found is None else found["ffn_size"])
        assert 0.25 < np.mean(parts) < 0.75

    @pytest.mark.parametrize("values", [[1.0] * 50, [*range(FEWEST - 1)], []])
    def test_nothing_is_told_of_too_few_or_of_equal_values(self, values):
        assert shares(values, {"layers": [number % 3 for number in range(len(values))]}) is None

    def test_shapes_by_layer_are_kinds_of_their_own(self):
        column = [4, (1, 2)] * 10
        assert shares([0.0, 1.0] * 10, {"heads": column}) == {"heads": pytest.approx(1)}
