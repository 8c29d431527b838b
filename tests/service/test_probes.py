"""What balancers, cluster managers and Prometheus ask."""

import logging

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from protocol.jobs import PROTOCOL_VERSION, JobKind, Renewal
from protocol.log_fields import fields_now
from service.app import create_app
from service.store.migrate import downgrade, upgrade


def samples(http):
    answer = http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


def test_probes_answer_to_any_host_and_the_rest_does_not(http):
    stranger = {"Host": "10.1.2.3:8787"}
    assert http.get("/healthz", headers=stranger).json() == {"status": "ok"}
    assert http.get("/readyz", headers=stranger).json() == {"status": "ready"}
    assert http.get("/v1/studies", headers=stranger).status_code == 421


def test_a_replica_that_drains_is_alive_and_not_ready_and_gives_out_no_work(http):
    http.app.state.parts.drain.begin()
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the replica is about to end"])
    assert answer.headers["Connection"] == "close"
    assert http.get("/healthz").status_code == 200
    request = {"worker": "w", "kinds": ["measure"], "protocol_version": PROTOCOL_VERSION, "wait_s": 0}
    refused = http.post("/v1/jobs:lease", json=request)
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (503, "draining", "1")
    assert http.get("/v1/studies").status_code == 200


def test_database_that_lacks_a_migration_is_not_ready(http, settings):
    downgrade(settings.database_url, "0001")
    try:
        answer = http.get("/readyz")
        assert answer.status_code == 503
        assert "migration 0001: run `stillhouse migrate`" in answer.json()["reasons"][0]
        assert http.get("/healthz").status_code == 200
    finally:
        upgrade(settings.database_url)
    assert http.get("/readyz").status_code == 200


def test_folder_of_artefacts_that_cannot_be_used_is_not_ready(http, settings):
    settings.artefacts.mkdir(exist_ok=True)
    settings.artefacts.rename(settings.artefacts.with_name("moved"))
    settings.artefacts.write_text("a file in its place")
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert f"artefacts cannot be stored in {settings.artefacts}" in answer.json()["reasons"][0]


def test_database_that_is_gone_is_not_ready_and_metrics_say_so(tmp_path, settings, clock):
    if not settings.database_url.startswith("sqlite"):
        pytest.skip("a file that is no database, as SQLite meets it")
    with TestClient(create_app(settings, clock)) as http:
        http.app.state.parts.store.close()
        for path in tmp_path.glob("stillhouse.db*"):
            path.unlink()
        (tmp_path / "stillhouse.db").mkdir()
        assert http.get("/readyz").status_code == 503
        found = samples(http)
        assert value(found, "stillhouse_store_up") == 0
        assert value(found, "stillhouse_requests_total", method="GET", route="/readyz", status="503") == 1


def test_queue_leases_outcomes_and_workers_are_told(http, http_worker, worker, clock):
    before = samples(http)
    assert value(before, "stillhouse_store_up") == 1
    assert value(before, "stillhouse_workers_alive") == 0
    worker.create()
    clock.advance(20)
    queued = samples(http)
    labels = {"kind": "prepare", "state": "queued", "study_state": "preparing"}
    assert value(queued, "stillhouse_jobs", **labels) == 1
    assert value(queued, "stillhouse_oldest_queued_job_seconds", kind="prepare") == 20
    grant = http_worker.lease()
    clock.advance(7)
    leased = samples(http)
    assert value(leased, "stillhouse_jobs", **{**labels, "state": "leased"}) == 1
    assert value(leased, "stillhouse_oldest_lease_seconds", kind="prepare") == 7
    assert ("stillhouse_overdue_lease_seconds", ("kind", "prepare")) not in leased
    assert value(leased, "stillhouse_workers_alive") == 1
    clock.advance(30)
    assert value(samples(http), "stillhouse_overdue_lease_seconds", kind="prepare") == 7
    worker.report(grant)
    ended = samples(http)
    assert value(ended, "stillhouse_jobs_ended_total", kind="prepare", state="done") == 1
    assert value(ended, "stillhouse_studies", state="calibrating") == 1


def test_ended_jobs_are_counted_once_however_often_somebody_asks(http, worker):
    worker.create()
    worker.create(name="other")
    first, second = worker.lease(), worker.lease()
    worker.report(second)  # the later number ends first

    def done():
        found = samples(http)
        return {
            dict(labels)["kind"]: count for (name, *labels), count in found.items() if name.endswith("jobs_ended_total")
        }

    assert [done(), done()] == [{"prepare": 1}, {"prepare": 1}]
    worker.report(first)
    assert done() == {"prepare": 2}
    worker.work(JobKind.CALIBRATE)
    assert done() == {"calibrate": 2, "prepare": 2}


def test_requests_are_timed_by_the_route_and_not_by_their_path(http):
    for name in ("one", "two"):
        http.get(f"/v1/studies/{name}")
    http.get("/nowhere/at/all")
    found = samples(http)
    route = "/v1/studies/{name}"
    assert value(found, "stillhouse_requests_total", method="GET", route=route, status="404") == 2
    assert value(found, "stillhouse_request_seconds_count", method="GET", route=route) == 2
    assert value(found, "stillhouse_requests_total", method="GET", route="unmatched", status="404") == 1


def test_replicas_tell_their_own_requests_and_the_same_store(settings, clock, worker):
    worker.create()
    with TestClient(create_app(settings, clock)) as one, TestClient(create_app(settings, clock)) as other:
        one.get("/v1/studies")
        told = [samples(each) for each in (one, other)]
    mine = ("stillhouse_requests_total", ("method", "GET"), ("route", "/v1/studies"), ("status", "200"))
    assert [mine in each for each in told] == [True, False]
    assert [value(each, "stillhouse_studies", state="preparing") for each in told] == [1, 1]


def test_answers_carry_the_number_of_their_request(http):
    assert http.get("/v1/studies", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    made = http.get("/v1/studies", headers={"X-Request-Id": "no good\x7f" * 40}).headers["X-Request-Id"]
    assert len(made) == 32


def test_a_line_of_the_log_says_which_job_and_attempt_a_request_was_about(http, http_worker, worker, caplog):
    worker.create()
    known = []

    class Keep(logging.Handler):
        def emit(self, record):
            known.append({"message": record.getMessage(), **fields_now()})

    handler = Keep()
    logging.getLogger("service.api.requests").addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "service.api.requests"):
            grant = http_worker.lease()
            http_worker.post(grant, "renew", Renewal(attempt=grant.attempt))
    finally:
        logging.getLogger("service.api.requests").removeHandler(handler)
    leased, renewed = known
    assert leased["message"].startswith("POST /v1/jobs:lease: 200 in ")
    assert {name: leased[name] for name in ("study", "job", "attempt", "worker")} == {
        "study": "demo",
        "job": grant.job,
        "attempt": 1,
        "worker": "w",
    }
    assert (int(renewed["job"]), renewed["attempt"]) == (grant.job, 1)
    assert leased["request"] != renewed["request"]
