"""The large answer behind the page of a study is compressed where that is taken, and nothing else is."""

import gzip

import pytest

from protocol.jobs import JobKind
from protocol.plots import PointsView
from service.api.compression import SMALL_BYTES, takes_gzip
from service.operations.trials import add_trial

POINTS = "/v1/studies/demo/points"


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.1", True),
        ("br, *", True),
        ("*;q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0, *", False),
        ("gzip; q=0.0", False),
        ("gzip;q=many", False),
        ("identity", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it(accepted, taken):
    assert takes_gzip(accepted) is taken


@pytest.fixture
def large(http, worker):
    """A study of many trials over HTTP."""
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        base = uow.trials.of(study.id)[0].architecture
        for size in range(300):
            shape = type(base)(**{**base.to_dict(), "ffn_size": 1000 + size})
            add_trial(uow, study, shape, "test", {"accuracy": 0.5 + size / 1000})
    return http


def raw(http, path, accepted):
    """The answer, and its body as it came."""
    with http.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
        return answer, b"".join(answer.iter_raw())


def test_points_of_many_trials_are_compressed_for_who_takes_that(large):
    answer, plain = raw(large, POINTS, "identity")
    assert "Content-Encoding" not in answer.headers
    assert len(plain) > SMALL_BYTES
    answer, small = raw(large, POINTS, "gzip, br")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(small) < len(plain) / 3
    assert gzip.decompress(small) == plain
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert len(PointsView.model_validate_json(large.get(POINTS).content).numbers) == 301


def test_what_is_small_or_streamed_goes_as_it_is(http, worker):
    worker.create()
    for path in (POINTS, "/v1/studies/demo", "/v1/studies", "/v1/studies/demo/export?format=csv"):
        answer, _ = raw(http, path, "gzip")
        assert answer.status_code == 200
        assert "Content-Encoding" not in answer.headers
