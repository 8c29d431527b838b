import json
import math
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from distillation.recipe import Recipe
from distillation.values import Dataset, Task, Teacher
from encoders.values import Head
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict
from protocol.jobs import (
    AttemptEnd,
    Calibrated,
    CurvePoint,
    Failure,
    FailureReason,
    JobKind,
    Measured,
    MeasureWork,
    PrepareWork,
    Renewal,
    Report,
    Work,
    refusal,
)
from search_space import Architecture


def test_work_is_told_apart_by_its_kind():
    work = PrepareWork(
        task=Task(dataset=Dataset(source="docstrings")), teacher=Teacher(model="built-in"), recipe=Recipe(), seed=1
    )
    again = TypeAdapter(Work).validate_json(work.model_dump_json())
    assert again == work
    assert again.kind is JobKind.PREPARE


def test_a_report_carries_an_outcome_or_a_failure():
    report = Report.model_validate(
        {"attempt": 2, "result": {"kind": "failure", "reason": "diverged", "message": "NaN"}}
    )
    assert report.result == Failure(reason=FailureReason.DIVERGED, message="NaN")
    with pytest.raises(ValidationError):
        Report.model_validate({"attempt": 2, "result": {"kind": "celebrate"}})


def test_only_what_may_pass_by_itself_is_tried_again():
    retriable = {reason for reason in FailureReason if Failure(reason=reason, message="").retriable}
    assert retriable == {FailureReason.ERROR, FailureReason.LEASE_EXPIRED}


def test_every_failure_ends_an_attempt_by_its_name():
    assert {str(reason) for reason in FailureReason} <= {str(end) for end in AttemptEnd}


def test_references_that_are_missing_are_told_where_there_are_some():
    """Older services, which know of none, understand the rest."""
    assert "missing" not in json.loads(Calibrated(measurements={}).model_dump_json())
    told = Calibrated(measurements={}, missing={"teacher": "no room"})
    assert Calibrated.model_validate_json(told.model_dump_json()) == told


def measure_work(**changes):
    shape = Architecture(vocabulary_size=10, layers=1, hidden_size=8, heads=1, head_size=8, ffn_size=8)
    return MeasureWork(
        architecture=shape, head=Head(classes=2), profile=DeviceProfile(), effort=Effort.QUICK, seed=1, **changes
    )


def test_quantiles_are_told_where_others_than_the_median_count():
    """Older workers, which know of nothing else, understand the rest."""
    assert "quantiles" not in json.loads(measure_work().model_dump_json())
    tail = measure_work(quantiles=(QuantileName.P99,))
    assert tail.model_dump(mode="json")["quantiles"] == ["p99"]
    for work in (measure_work(), tail):
        assert TypeAdapter(Work).validate_json(work.model_dump_json()) == work
    with pytest.raises(ValidationError):
        measure_work(quantiles=())


def test_a_curve_is_told_where_there_is_one():
    """Older services, which know of none, understand the rest."""
    assert "curve" not in json.loads(Renewal(attempt=1).model_dump_json())
    renewal = Renewal(attempt=1, curve=(CurvePoint(step=10, value=0.5), CurvePoint(step=20, value=0.4)))
    assert Renewal.model_validate_json(renewal.model_dump_json()) == renewal


@pytest.mark.parametrize(
    "points",
    [[(20, 0.5), (10, 0.5)], [(10, 0.5), (10, 0.5)], [(0, 0.5)], [(10, math.nan)], [(10, math.inf)], [(10**12, 0.5)]],
)
def test_what_is_no_curve_is_refused(points):
    curve = [{"step": step, "value": value} for step, value in points]
    with pytest.raises(ValidationError):
        Renewal.model_validate({"attempt": 1, "curve": curve})


@pytest.mark.parametrize(("calls", "is_told"), [(None, False), (9, True)])
def test_calls_are_told_where_samples_are_left_out(measurement, calls, is_told):
    report = Report(attempt=1, result=Measured(measurement=replace(measurement, calls=calls)))
    assert ("calls" in report.model_dump(mode="json")["result"]["measurement"]) == is_told
    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.fixture
def measurement():
    quantile = Quantile(value_s=0.1, low_s=None, high_s=None)
    return Measurement(
        profile=DeviceProfile(),
        effort=Effort.QUICK,
        source=Source.MEASURED,
        verdict=Verdict.PROVISIONAL,
        p50=quantile,
        p90=quantile,
        p99=quantile,
        throughput_per_s=10.0,
        load_s=0.5,
        first_call_s=0.2,
        compile_s=0.0,
        peak_memory_bytes=1,
        log_variance=0.001,
        hardware_key="k",
        environment={},
        samples_s=[[0.1]],
        measured_at="2026-01-01T00:00:00+00:00",
    )


@pytest.mark.parametrize(
    ("version", "who"), [(1, "worker"), (2, None), (3, None), (4, None), (5, "service"), (-1, "worker")]
)
def test_versions_within_the_window_are_served_and_others_told_who_must_be_upgraded(version, who):
    refused = refusal(version, oldest=2, newest=4)
    assert refused == (
        who and f"the worker speaks version {version} of the protocol, the service versions 2 to 4: upgrade the {who}"
    )
