"""`stillhouse calibrate` with an imagined device; the command as it is told."""

import csv
import json
from pathlib import Path

import httpx
import pytest

from cli.calibrating import CalibrateOptions, calibrate_here
from cli.calibrations import keep, kept, offer
from cli.errors import BadInputError
from client import Client
from hardware.values import DeviceProfile, Measurement, Quantile, QuantileName, Source, Verdict
from protocol.calibration import CalibrationRecord, view_of
from search_space import cost

STUDY = """
teacher: built-in
task: {dataset: docstrings}
search_space: {layers: [1, 2, 3, 4], hidden_size: [32, 64], heads: [1, 2], ffn_size: [64, 128, 256]}
target: {length: 32}
"""


class Device:
    def __init__(self, stop_at=None):
        self.measured, self._stop_at = [], stop_at

    def __call__(self, order, seed):
        def measure(architecture):
            if len(self.measured) == self._stop_at:
                raise KeyboardInterrupt
            self.measured.append(architecture)
            value_s = 1e-3 + cost(architecture, length=order.profile.length).macs / 1e10
            quantile = Quantile(value_s=value_s, low_s=value_s, high_s=value_s)
            return Measurement(
                profile=order.profile,
                effort=order.effort,
                source=Source.MEASURED,
                verdict=Verdict.STEADY,
                p50=quantile,
                p90=Quantile(value_s=2 * value_s, low_s=None, high_s=None),
                p99=quantile,
                throughput_per_s=1.0,
                load_s=0.1,
                first_call_s=0.1,
                compile_s=0.0,
                peak_memory_bytes=1,
                log_variance=1e-4,
                hardware_key="here",
                environment={"cpu": "imagined"},
                samples_s=[[value_s]],
                measured_at=f"2030-01-01T00:00:{len(self.measured):02}+00:00",
            )

        return measure


@pytest.fixture
def options(tmp_path):
    def make(**changes):
        given = {
            "study_file": None,
            "space": None,
            "target": None,
            "count": 16,
            "effort": "quick",
            "quantile": None,
            "seed": 0,
            "home": tmp_path / "home",
            "url": None,
            "output": None,
        }
        return CalibrateOptions(**given | changes)

    return make


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_a_study_is_calibrated_and_the_home_keeps_it(options, study_file, capsys):
    device = Device()
    calibrate_here(options(study_file=study_file), as_json=False, measure=device)
    assert len(device.measured) == 16
    (record,) = kept(options().home, DeviceProfile(length=32).key)
    assert [row.architecture for row in record.rows] == device.measured
    assert record.profile == DeviceProfile(length=32)
    told = capsys.readouterr()
    assert "16/16" in told.err
    assert "measured" in told.out
    assert "predicted" in told.out
    assert "cross-validated  mean error" in told.out
    assert str(options().home / "calibrations" / "here") in told.out


def test_a_preset_and_a_target_in_words_need_no_study(options, capsys):
    asked = options(space="minilm", target="length=16, batch=2", quantile="p90")
    calibrate_here(asked, as_json=True, measure=Device())
    told = json.loads(capsys.readouterr().out)
    record = CalibrationRecord.model_validate(told["calibration"])
    assert (record.profile, record.quantile) == (DeviceProfile(length=16, batch=2), QuantileName.P90)
    assert record.id == told["id"]
    assert CalibrationRecord.model_validate_json(Path(told["file"]).read_bytes()) == record


def test_the_same_command_goes_on_where_it_was_stopped(options, study_file):
    first, second = Device(stop_at=5), Device()
    with pytest.raises(KeyboardInterrupt):
        calibrate_here(options(study_file=study_file), as_json=True, measure=first)
    calibrate_here(options(study_file=study_file), as_json=True, measure=second)
    assert (len(first.measured), len(second.measured)) == (5, 11)
    assert not set(first.measured) & set(second.measured)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_rows_are_written_to_a_file(options, study_file, tmp_path, ending):
    output = tmp_path / f"rows.{ending}"
    calibrate_here(options(study_file=study_file, output=output), as_json=True, measure=Device())
    (record,) = kept(options().home, DeviceProfile(length=32).key)
    if ending == "json":
        assert CalibrationRecord.model_validate_json(output.read_text()) == record
        return
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [float(row["latency_s"]) for row in rows] == [row.latency_s for row in record.rows]
    assert [row["key"] for row in rows] == [row.architecture.key for row in record.rows]
    assert {row["source"] for row in rows} == {"measured"}


def test_a_preview_shows_what_the_home_predicts(options, study_file, stillhouse, capsys):
    calibrate_here(options(study_file=study_file), as_json=True, measure=Device())
    capsys.readouterr()
    code, told, _ = stillhouse("preview", study_file)
    assert code == 0
    assert "Predicted latencies" in told
    assert "ms predicted" in told
    _, told, _ = stillhouse("preview", study_file, "--json")
    (found,) = json.loads(told)["preview"]["latencies"]
    assert found["fastest_s"] < found["median_s"] < found["slowest_s"]
    assert found["calibration"]["hardware_key"] == "here"


def test_files_that_are_no_calibrations_are_left_out(options, study_file):
    calibrate_here(options(study_file=study_file), as_json=True, measure=Device())
    home, key = options().home, DeviceProfile(length=32).key
    (record,) = kept(home, key)
    newer = record.model_copy(update={"measured_at": "2040-01-01T00:00:00+00:00"})
    keep(home, newer)
    (home / "calibrations" / "here" / f"{key}-broken.json").write_text("{")
    assert kept(home, key) == [newer, record]
    assert kept(home, "other") == []


@pytest.mark.parametrize("refuses", [False, True])
def test_a_service_is_offered_what_the_home_keeps_of_its_target(options, study_file, refuses):
    calibrate_here(options(study_file=study_file), as_json=True, measure=Device())
    key, sent = DeviceProfile(length=32).key, []

    def answer(request):
        record = CalibrationRecord.model_validate_json(request.read())
        sent.append(record)
        if refuses:
            problem = {"title": "", "status": 422, "detail": "no model", "code": "invalid"}
            return httpx.Response(422, json=problem)
        return httpx.Response(201, json=view_of(record, record.id).model_dump(mode="json"))

    with Client("http://service:1", wire=httpx.MockTransport(answer)) as client:
        offer(client, options().home, key)
        offer(client, options().home, "another")
    assert sent == kept(options().home, key)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "name a study file"),
        ({"space": "brt"}, "did you mean 'bert'"),
        ({"space": "bert", "count": 5}, "--count must be 16 to 1,000, got 5"),
        ({"space": "bert", "effort": "quik"}, "did you mean 'quick'"),
        ({"space": "bert", "quantile": "p95"}, "--quantile: unknown"),
        ({"space": "bert", "target": "lenght=3"}, "--target: lenght: unknown key 'lenght'; did you mean 'length'"),
        ({"space": "bert", "target": "cpu"}, "'cpu' is no key=value"),
        ({"space": "bert", "target": "batch=1,batch=2"}, "given twice"),
        ({"space": "bert", "target": "batch=0"}, "--target: batch"),
        ({"space": "bert", "target": "threads=1024"}, "threads"),
    ],
)
def test_wrong_options_are_named(options, changes, words):
    with pytest.raises(BadInputError, match=words):
        calibrate_here(options(**changes), as_json=True, measure=Device())


def test_options_that_a_study_file_says_itself_are_refused(options, study_file):
    with pytest.raises(BadInputError, match="--space is for calibrating without a study file"):
        calibrate_here(options(study_file=study_file, space="bert"), as_json=True, measure=Device())
    output = study_file.parent / "rows.txt"
    with pytest.raises(BadInputError, match=r"rows.txt: name a .json or a .csv"):
        calibrate_here(options(study_file=study_file, output=output), as_json=True, measure=Device())


def test_the_command_says_what_is_wrong_and_ends_with_2(stillhouse):
    code, _, told = stillhouse("calibrate", "--space", "brt")
    assert code == 2
    assert "did you mean 'bert'" in told
