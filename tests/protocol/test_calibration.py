import json

import pytest
from pydantic import ValidationError

from encoders.values import Head
from hardware.values import DeviceProfile, Effort, QuantileName, Source, Verdict
from protocol.calibration import CalibrationRecord, view_of
from protocol.jobs import Calibrated, CalibrateWork
from search_space import Architecture
from search_space.latency_features import features_of
from search_space.latency_model import Agreement, LatencyModel

SHAPE = Architecture(vocabulary_size=10, layers=1, hidden_size=8, heads=1, head_size=8, ffn_size=8)
AGREED = Agreement(count=1, mape=0.1, median_ape=0.1, spearman=None, within=1.0)


class Row:
    """As `hardware.calibration` has them: attributes of the same names."""

    architecture = SHAPE
    latency_s = 0.1
    low_s = None
    high_s = 0.2
    log_variance = 0.01
    verdict = Verdict.STEADY
    source = Source.MEASURED
    measured_at = "2030-01-01T00:00:00+00:00"
    predicted_s = 0.11


def model():
    """Of one row, from which nothing varies."""
    features = features_of([SHAPE], batch=1, length=128)
    sizes = tuple(features.sizes[0].tolist())
    return LatencyModel(
        batch=1,
        length=128,
        names=features.names,
        weights=(),
        low=sizes,
        high=sizes,
        centre=(0.0,) * len(sizes),
        spread=(0.0,) * len(sizes),
        points=((),),
        values=(0.0,),
        noise=(0.1,),
        level=-2.0,
        scale=0.1,
        slopes=1.0,
        bends=1.0,
        lengths=(),
        floor=0.01,
    )


@pytest.fixture
def values():
    return {
        "profile": DeviceProfile(),
        "head": Head(classes=2),
        "quantile": QuantileName.P50,
        "effort": Effort.QUICK,
        "hardware_key": "k",
        "environment": {"cpu": "imagined"},
        "space_key": "s",
        "rows": (Row(),),
        "model": model(),
        "cross_validated": AGREED,
        "held_out": None,
        "flat": None,
        "notes": ("a note",),
        "measured_at": "2030-01-01T02:00:00+02:00",
    }


def test_a_record_survives_the_wire_and_keeps_its_id(values):
    record = CalibrationRecord.model_validate(values)
    again = CalibrationRecord.model_validate_json(record.model_dump_json())
    assert again == record
    assert again.id == record.id
    assert again.id != record.model_copy(update={"hardware_key": "other"}).id
    assert again.rows[0].architecture == SHAPE
    assert again.taken_at.isoformat() == "2030-01-01T02:00:00+02:00"


def test_a_view_leaves_out_rows_and_model(values):
    record = CalibrationRecord.model_validate(values)
    view = view_of(record, record.id)
    assert (view.id, view.architectures, view.hardware_key) == (record.id, 1, "k")
    assert view.model_dump().keys().isdisjoint({"rows", "model"})


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": ()},
        {"measured_at": "2030-01-01T00:00:00"},
        {"measured_at": "yesterday"},
        {"hardware_key": ""},
        {"surprise": 1},
    ],
)
def test_what_is_no_record_is_refused(values, changes):
    with pytest.raises(ValidationError):
        CalibrationRecord.model_validate(values | changes)


@pytest.mark.parametrize("changes", [{"latency_s": 0.0}, {"latency_s": "inf"}, {"log_variance": -1.0}])
def test_a_row_of_impossible_numbers_is_refused(values, changes):
    record = CalibrationRecord.model_validate(values).model_dump(mode="json")
    record["rows"][0] |= changes
    with pytest.raises(ValidationError):
        CalibrationRecord.model_validate(record)


def test_work_and_outcome_without_a_sample_are_as_older_workers_know_them(values):
    work = CalibrateWork(references={}, head=Head(classes=2), profile=DeviceProfile(), seed=0)
    assert json.loads(work.model_dump_json()).keys() == {"kind", "references", "head", "profile", "seed"}
    assert json.loads(Calibrated(measurements={}).model_dump_json()).keys() == {"kind", "measurements"}
    sampled = work.model_copy(update={"sample": (SHAPE,), "effort": Effort.QUICK, "space_key": "s"})
    assert CalibrateWork.model_validate_json(sampled.model_dump_json()) == sampled
    outcome = Calibrated(measurements={}, calibration=CalibrationRecord.model_validate(values))
    assert Calibrated.model_validate_json(outcome.model_dump_json()) == outcome
