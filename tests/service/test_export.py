import csv
import io
import json

import pyarrow.parquet
import pytest

from protocol.jobs import JobKind
from service.operations.export import ExportFormat, written


@pytest.fixture
def exported(http, worker):
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.work(JobKind.MEASURE)

    def get(kind):
        answer = http.get(f"/v1/studies/demo/export?format={kind}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="demo.{kind}"'
        return answer

    return get


def test_every_format_holds_the_same(exported, worker):
    (row,) = json.loads(exported("json").content)
    (trial,) = worker.trials()
    assert (row["number"], row["state"], row["label"]) == (1, "distilling", trial.label)
    assert row["latency_p50"] == trial.metrics["latency_p50"]
    assert row["ffn_size"] == trial.architecture.ffn_size
    assert pyarrow.parquet.read_table(io.BytesIO(exported("parquet").content)).to_pylist() == [row]
    (told,) = csv.DictReader(io.StringIO(exported("csv").text))
    assert told.keys() == row.keys()
    assert float(told["latency_p50"]) == row["latency_p50"]
    assert told["ended_at"] == ""


@pytest.mark.parametrize("kind", ExportFormat)
def test_shapes_by_layer_are_one_text(kind):
    content = b"".join(written({"number": [1, 2], "heads": [4, (2, 4)]}, kind))
    match kind:
        case ExportFormat.CSV:
            assert content == b"number,heads\r\n1,4\r\n2,2 4\r\n"
        case ExportFormat.JSON:
            assert json.loads(content) == [{"number": 1, "heads": 4}, {"number": 2, "heads": [2, 4]}]
        case ExportFormat.PARQUET:
            assert pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()["heads"] == ["4", "2 4"]


def test_a_worker_cannot_write_a_formula_into_somebodys_spreadsheet():
    content = b"".join(written({"reason": ['=HYPERLINK("x")', "fine", None, "-1"]}, ExportFormat.CSV)).decode()
    assert content.splitlines() == ["reason", '"\'=HYPERLINK(""x"")"', "fine", '""', "'-1"]


def test_many_rows_are_sent_in_pieces():
    columns = {"number": list(range(1_234))}
    pieces = list(written(columns, ExportFormat.JSON))
    assert len(pieces) > 3
    assert [row["number"] for row in json.loads(b"".join(pieces))] == columns["number"]
    assert len(b"".join(written(columns, ExportFormat.CSV)).splitlines()) == 1_235


def test_unknown_format_and_study_are_refused(http):
    assert http.get("/v1/studies/none/export?format=csv").status_code == 404
    assert http.get("/v1/studies/none/export?format=xls").status_code == 422
