"""What workers say is answered past the framework, as the framework would."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from protocol.jobs import PROTOCOL_VERSION, Failure, FailureReason, JobKind, LeaseRequest, Release, Renewal, Report

FRAMEWORK = "application/json; charset=utf-8"
"""The same, and not what workers say."""


@pytest.fixture
def both(http):
    """The answers of the one and of the other to the same request, without what no two answers have in common."""

    def ask(path, content):
        answers = []
        for kind in ("application/json", FRAMEWORK):
            answer = http.post(path, content=content, headers={"Content-Type": kind})
            answer.headers.pop("x-request-id")
            answers.append((answer.status_code, dict(answer.headers), answer.content))
        return answers

    return ask


def text(**changes):
    given = {"worker": "w", "kinds": tuple(JobKind), "targets": ("cpu/torch",), "wait_s": 0}
    return LeaseRequest(**{"protocol_version": PROTOCOL_VERSION, **given, **changes}).model_dump_json()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # no database has a part in this
@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("jobs:lease", text(worker="first", request="a-request"), 200),
        ("jobs:lease", text(kinds=(JobKind.DISTILL,)), 204),
        ("jobs:lease", text(protocol_version=1), 409),
        ("jobs:lease", '{"protocol_version": 1, "mood": "old"}', 409),
        ("jobs:lease", '{"worker": "w"}', 422),
        ("jobs:lease", "", 422),
        ("jobs:lease", "{", 422),
        ("jobs:lease", "[" * 100_000, 400),
        ("jobs/1:renew", Renewal(attempt=1).model_dump_json(), 200),
        ("jobs/1:renew", '{"attempt": "1", "number": 2.0}', 200),
        ("jobs/1:renew", '{"attempt": 1.5}', 422),
        ("jobs/1:renew", '{"attempt": 1, "attempt": 2}', 409),
        ("jobs/1:renew", '{"attempt": 1, "curve": [{"step": 1, "value": NaN}]}', 422),
        ("jobs/1:renew", '{"attempt": 1, "progress": {"stage": "\\ud800"}}', 422),
        ("jobs/1:renew", Renewal(attempt=2).model_dump_json(), 409),
        ("jobs/7:renew", Renewal(attempt=1).model_dump_json(), 404),
        ("jobs/0:renew", Renewal(attempt=1).model_dump_json(), 422),
        ("jobs/99999999999999999999:renew", Renewal(attempt=1).model_dump_json(), 422),
        ("jobs/1:release", Release(attempt=1).model_dump_json(), 200),
        ("jobs/1:report", Report(attempt=1, result=Failure(reason="error", message="it broke")).model_dump_json(), 200),
        ("jobs/1:report", '{"attempt": 1, "result": {"kind": "failure", "reason": "mood", "message": ""}}', 422),
        ("jobs/1:paint", "{}", 405),
        ("jobs:renew", Renewal(attempt=1).model_dump_json(), 404),
        ("jobs/1:lease", text(), 405),
    ],
)
def test_whatever_workers_say_is_answered_as_by_the_framework(both, http_worker, http, spec, path, content, status):
    http.post("/v1/studies", json={"spec": spec})
    assert http_worker.lease(worker="first", request="a-request").attempt == 1
    ours, theirs = both(f"/v1/{path}", content)
    assert ours == theirs
    assert ours[0] == status


def test_a_message_in_pieces_is_understood(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    pieces = iter([b'{"attempt"', b": 1}"])
    answer = http.post(f"/v1/jobs/{grant.job}:renew", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


def test_requests_past_the_framework_are_counted_by_its_routes(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    http_worker.post(grant, "renew", Renewal(attempt=1))
    lines = http.get("/metrics").text.splitlines()
    for route in ("/v1/jobs:lease", "/v1/jobs/{job}:renew"):
        assert f'stillhouse_requests_total{{method="POST",route="{route}",status="200"}} 1.0' in lines


def test_worker_that_comes_to_others_who_wait_is_told_of_nothing_while_somebody_writes(http, http_worker, spec):
    parts = http.app.state.parts
    assert http_worker.lease(worker="known") is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http_worker.lease, worker="waiting", wait_s=20)
        while not parts.watch.is_waited_for:
            assert not waiting.done()
        with parts.store.write() as uow:
            uow.workers.renewed("known", uow.now)
            assert http_worker.lease(worker="known") is None
        http.post("/v1/studies", json={"spec": spec})
        assert waiting.result().study == "demo"


def test_reports_that_wait_for_their_study_keep_nobody_from_work(http, http_worker, spec):
    parts = http.app.state.parts
    if parts.store.has_one_writer:
        pytest.skip("SQLite has one writer")
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    report = Report(attempt=1, result=Failure(reason=FailureReason.ERROR, message="it broke"))
    http.post("/v1/studies", json={"spec": {**spec, "name": "another"}})
    told = threading.Barrier(9)

    def say():
        told.wait()
        return http_worker.post(grant, "report", report).status_code

    with ThreadPoolExecutor(8) as pool:
        with parts.store.write() as uow:
            uow.studies.lock(1)
            reports = [pool.submit(say) for _ in range(8)]
            told.wait()
            other = http_worker.lease(worker="another")
            assert other.study == "another"
            assert http_worker.post(other, "renew", Renewal(attempt=1)).status_code == 200
            assert not any(each.done() for each in reports)
        assert [each.result() for each in reports] == [200] * 8
