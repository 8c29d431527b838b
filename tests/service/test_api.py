import asyncio
import hashlib
import json
import threading
import time
from contextlib import nullcontext
from datetime import datetime

import pytest

from protocol.jobs import Release, Renewal, Renewed, Report
from protocol.problem import MEDIA_TYPE, Problem
from protocol.views import FrontView, PreviewView, StudyState, StudyView, TrialView, WorkerView
from service.app import create_app
from service.store.unit_of_work import Store
from service.suggester import Suggester

LEASE = {"worker": "w", "kinds": ["measure"], "protocol_version": 2}


def artefact(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def until(happened):
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end


def problem(answer) -> Problem:
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    return found


def test_a_study_lives_its_whole_life_over_http(http, http_worker, spec, settings, clock):
    created = http.post("/v1/studies", json={"spec": spec})
    assert created.status_code == 201
    assert http.post("/v1/studies", json={"spec": spec}).status_code == 200

    store = Store(settings.database_url, clock)
    suggester = Suggester(store, nullcontext)
    while http_worker.work() or suggester.step():
        clock.advance(1)
    store.close()

    study = StudyView.model_validate_json(http.get("/v1/studies/demo").content)
    assert study.state is StudyState.COMPLETED, study.error
    assert study.trials == {"completed": 6}
    assert study.finalists == {"completed": 2}
    assert http.get("/v1/studies").json() == [study.model_dump(mode="json")]

    trials = [TrialView.model_validate(trial) for trial in http.get("/v1/studies/demo/trials").json()]
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert TrialView.model_validate_json(http.get("/v1/studies/demo/trials/3").content) == trials[2]

    front = FrontView.model_validate_json(http.get("/v1/studies/demo/front").content)
    assert set(front.numbers) == {trial.number for trial in trials if trial.on_front}
    assert front.history[-1].trials == 6
    assert front.history[-1].hypervolume == front.hypervolume == study.hypervolume

    (worker,) = [WorkerView.model_validate(one) for one in http.get("/v1/workers").json()]
    assert worker.name == "w"
    assert [target.label for target in worker.targets] == ["cpu/torch"]


def test_a_job_is_renewed_and_released_over_http(http, http_worker, spec, clock):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    clock.advance(10)
    renewed = Renewed.model_validate_json(http_worker.post(grant, "renew", Renewal(attempt=1)).content)
    assert renewed.expires_at > grant.expires_at
    assert http_worker.post(grant, "release", Release(attempt=1)).status_code == 200
    again = http_worker.lease()
    assert (again.job, again.attempt) == (grant.job, 2)
    refused = http_worker.post(grant, "report", Report(attempt=1, result=http_worker.answers.to(grant.work)))
    assert problem(refused).code == "lease_lost"
    assert refused.status_code == 409


def test_changed_study_is_refused_with_the_difference(http, spec):
    http.post("/v1/studies", json={"spec": spec})
    spec["budget"]["trials"] = 99
    refused = http.post("/v1/studies", json={"spec": spec})
    assert refused.status_code == 409
    assert problem(refused).code == "study_differs"
    assert problem(refused).errors == ["budget.trials: 6 -> 99"]


def test_malformed_study_is_refused_key_by_key(http, spec):
    spec["budget"]["trials"] = "many"
    spec["colour"] = "blue"
    refused = http.post("/v1/studies", json={"spec": spec})
    assert refused.status_code == 422
    assert problem(refused).code == "invalid"
    assert {line.partition(":")[0] for line in problem(refused).errors} == {"budget.trials", "colour"}
    assert http.get("/v1/studies").json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/studies/none", None, 404, "not_found"),
        ("GET", "/v1/studies/none/trials", None, 404, "not_found"),
        ("GET", "/v1/studies/none/trials/1", None, 404, "not_found"),
        ("GET", "/v1/studies/none/front", None, 404, "not_found"),
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("DELETE", "/v1/studies", None, 405, "method_not_allowed"),
        ("POST", "/v1/jobs/5:renew", {"attempt": 1}, 404, "not_found"),
        ("POST", "/v1/jobs/99999999999999999999:renew", {"attempt": 1}, 422, "invalid"),
        ("GET", "/v1/studies/a%00b", None, 404, "not_found"),
        ("POST", "/v1/jobs/five:renew", {"attempt": 1}, 422, "invalid"),
        ("POST", "/v1/jobs:lease", {"worker": "w", "kinds": ["measure"], "protocol_version": 0}, 409, "upgrade_needed"),
        ("POST", "/v1/jobs:lease", {"worker": "w", "kinds": ["paint"], "protocol_version": 2}, 422, "invalid"),
        ("POST", "/v1/jobs:lease", {"kinds": ["paint"], "protocol_version": 99, "mood": 1}, 409, "upgrade_needed"),
        ("GET", "/v1/jobs/5", None, 404, "not_found"),
        ("POST", "/v1/studies/none/trials:ask", {}, 404, "not_found"),
        ("POST", "/v1/studies/none/trials/1:tell", {"attempt": 1}, 404, "not_found"),
        ("POST", "/v1/jobs:lease", {**LEASE, "targets": ["cpu/torch\0"]}, 422, "invalid"),
        ("POST", "/v1/jobs:lease", {**LEASE, "targets": ["cpu/torch"] * 100_000}, 422, "invalid"),
        ("GET", "/v1/artefacts/" + "a" * 64, None, 404, "not_found"),
        ("GET", "/v1/artefacts/..%2F..%2Fetc%2Fpasswd", None, 404, "not_found"),
        ("PUT", "/v1/artefacts/" + "A" * 64, None, 422, "invalid"),
    ],
)
def test_every_refusal_is_a_problem(http, method, path, body, status, code):
    answer = http.request(method, path, json=body)
    assert answer.status_code == status
    assert problem(answer).code == code


def test_validation_names_the_keys(http):
    answer = http.post("/v1/jobs:lease", json={"kinds": ["measure"], "protocol_version": 2, "colour": "blue"})
    assert problem(answer).errors == ["worker: is missing", "colour: unknown key 'colour'"]


def test_body_that_is_no_json_is_a_problem(http):
    answer = http.post("/v1/studies", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert problem(answer).code == "invalid"


@pytest.mark.parametrize(
    ("part", "text", "key"),
    [
        ("distillation", '{"learning_rate": "inf"}', "distillation.learning_rate: "),
        ("distillation", '{"learning_rate": Infinity}', "distillation.learning_rate: must be"),
        ("teacher", '{"model": "built-in", "epochs": 1e400}', "teacher.epochs: must be a finite number"),
        ("search_space", '{"layers": 1e30, "hidden_size": 8, "heads": 1, "ffn_size": 8}', "search_space.layers: "),
        (
            "search_space",
            f'{{"layers": {10**30}, "hidden_size": 8, "heads": 1, "ffn_size": 8}}',
            "search_space.layers: ",
        ),
        ("constraints", '["parameters <= 1e99999999999999999999"]', "constraints.0: "),
        ("constraints", f'[{{"metric": "parameters", "bound": {10**400}}}]', "constraints.0.bound: "),
        ("constraints", '["accuracy >= 85"]', "constraints.0: nothing has accuracy >= 85"),
        ("budget", '{"trials": true}', "budget.trials: must be a whole number"),
        ("name", '{"a":' * 100 + "1" + "}" * 100, "name."),
    ],
)
@pytest.mark.parametrize("path", ["/v1/studies", "/v1/preview"])
def test_absurd_numbers_are_refused_with_their_key(http, spec, path, part, text, key):
    body = json.dumps({"spec": {**spec, part: "HERE"}}).replace('"HERE"', text)
    refused = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 422
    assert problem(refused).errors[0].startswith(key)


@pytest.mark.parametrize(
    ("kind", "content", "status", "words"),
    [
        ("application/json", b"{", 422, "body is not JSON"),
        ("application/json", b'{"spec": ' + b"9" * 5000 + b"}", 400, "parsing the body"),
        ("application/json", b"[" * 200_000, 400, "parsing the body"),
        ("text/plain", b'{"spec": {}}', 415, "as application/json, not as text/plain"),
        ("application/json", b"", 422, "malformed"),
    ],
)
def test_body_that_cannot_be_read_is_a_problem(http, kind, content, status, words):
    refused = http.post("/v1/studies", content=content, headers={"Content-Type": kind})
    assert refused.status_code == status
    assert words in problem(refused).detail


def test_unknown_study_is_told_the_nearest_and_not_all_of_a_long_name(http, spec):
    http.post("/v1/studies", json={"spec": spec})
    assert "did you mean 'demo'?" in problem(http.get("/v1/studies/demmo")).detail
    assert len(problem(http.get("/v1/studies/" + "x" * 5000)).detail) < 200


@pytest.mark.parametrize(("asked", "status"), [("bytes=4-2", 416), ("lines=1-2", 400), ("bytes=900-", 416)])
def test_bad_range_is_a_problem(http, http_worker, asked, status):
    refused = http.get(f"/v1/artefacts/{artefact('data')}", headers={"Range": asked})
    assert refused.status_code == status
    assert asked in problem(refused).detail


@pytest.mark.parametrize(
    "progress",
    [
        {"stage": "s", "done": 5, "total": 4},
        {"stage": "s", "done": -1},
        {"stage": "s", "total": 10**30},
        {"stage": "s" * 9999},
    ],
)
def test_progress_that_cannot_be_is_refused(http, http_worker, spec, progress):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    refused = http.post(f"/v1/jobs/{grant.job}:renew", json={"attempt": 1, "progress": progress})
    assert problem(refused).status == 422


@pytest.mark.parametrize("size", [10**9, 10**30])
def test_teacher_that_nobody_could_build_is_refused(http, http_worker, spec, size):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    report = Report(attempt=1, result=http_worker.answers.to(grant.work)).model_dump(mode="json")
    report["result"]["architecture"]["hidden_size"] = size
    refused = http.post(f"/v1/jobs/{grant.job}:report", json=report)
    assert problem(refused).status == 422
    assert "more than 1e+12 parameters" in problem(refused).detail


@pytest.mark.parametrize("value_s", [0.0, -1.0])
def test_latency_that_no_clock_shows_is_refused(http, http_worker, spec, value_s):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    http_worker.post(grant, "report", Report(attempt=1, result=http_worker.answers.to(grant.work)))
    grant = http_worker.lease()
    report = Report(attempt=1, result=http_worker.answers.to(grant.work)).model_dump(mode="json")
    report["result"]["measurements"]["smallest"]["p50"]["value_s"] = value_s
    refused = http.post(f"/v1/jobs/{grant.job}:report", json=report)
    assert problem(refused).status == 422
    assert "smallest.p50: a latency must be finite and above 0 s" in problem(refused).detail


def test_upload_that_breaks_off_is_no_error_of_the_service(settings, caplog):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(_message):
        pass

    app = create_app(settings)
    path = "/v1/artefacts/" + "a" * 64
    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "http_version": "1.1", "scheme": "http", "app": app}
    asyncio.run(app(scope, receive, send))
    app.state.parts.store.close()
    assert not caplog.records
    assert not [one for one in settings.artefacts.rglob("*") if one.is_file()]


def test_preview_starts_nothing(http, spec):
    view = PreviewView.model_validate_json(http.post("/v1/preview", json={"spec": spec}).content)
    assert view.size == 108
    assert http.get("/v1/studies").json() == []


def test_empty_queue_answers_no_content(http, http_worker):
    assert http_worker.lease() is None


def test_long_poll_is_granted_what_comes_up_meanwhile(http, http_worker, spec):
    took = {}

    def wait():
        took["grant"] = http_worker.lease(wait_s=20)
        took["at"] = time.monotonic()

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: http.get("/v1/workers").json())
    queued = time.monotonic()
    http.post("/v1/studies", json={"spec": spec})
    waiting.join(20)
    assert took["grant"].study == "demo"
    assert took["at"] - queued < 2.0


def test_waiting_workers_leave_the_service_responsive(http, spec):
    """More waiting workers than the service has threads."""
    body = {"worker": "w", "kinds": ["measure"], "protocol_version": 2, "wait_s": 1.5}
    answers = []

    def ask():
        answers.append(http.post("/v1/jobs:lease", json=body))

    threads = [threading.Thread(target=ask) for _ in range(60)]
    for thread in threads:
        thread.start()
    until(lambda: http.get("/v1/workers").json())
    assert http.post("/v1/studies", json={"spec": spec}).status_code == 201
    still_waiting = len(threads) - len(answers)
    for thread in threads:
        thread.join(20)
    assert [answer.status_code for answer in answers] == [204] * 60
    assert still_waiting > 40


def test_artefact_goes_up_and_comes_down(http, answers):
    content = bytes(range(256)) * 10_000
    name = hashlib.sha256(content).hexdigest()
    path = f"/v1/artefacts/{name}"
    assert http.head(path).status_code == 404
    assert http.put(path, content=content).status_code == 201
    assert http.put(path, content=content).status_code == 204
    head = http.head(path)
    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(content))
    assert http.get(path).content == content
    assert http.get(path, headers={"Range": "bytes=256-259"}).content == bytes(range(4))


def test_artefact_with_other_content_is_refused_and_nothing_is_kept(http, settings):
    path = "/v1/artefacts/" + "0" * 64
    refused = http.put(path, content=b"something else")
    assert refused.status_code == 422
    assert problem(refused).code == "hash_mismatch"
    assert http.head(path).status_code == 404
    assert [one for one in settings.artefacts.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example"])
def test_request_for_another_host_is_refused(http, host):
    refused = http.get("/v1/studies", headers={"Host": host})
    assert problem(refused).code == "unknown_host"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8787", "[::1]:8787", "testserver"])
def test_request_for_this_machine_is_answered(http, host):
    assert http.get("/v1/studies", headers={"Host": host}).is_success


def test_health_and_openapi(http):
    assert http.get("/v1/healthz").json() == {"status": "ok"}
    document = http.get("/v1/openapi.json").json()
    assert "/v1/jobs:lease" in document["paths"]
    assert "/v1/jobs/{job}:renew" in document["paths"]


def test_instants_are_in_utc_on_the_wire(http, spec):
    created_at = http.post("/v1/studies", json={"spec": spec}).json()["created_at"]
    assert datetime.fromisoformat(created_at).utcoffset().total_seconds() == 0


OLD_MESSAGES = {
    "renew": {"attempt": 1, "progress": {"stage": "training", "done": 1, "total": 2}, "checkpoint": None},
    "report": {"attempt": 1, "result": {"kind": "failure", "reason": "error", "message": "it broke"}},
    "release": {"attempt": 1, "checkpoint": None},
}
"""As workers of version 1 of the protocol say it."""


@pytest.mark.parametrize("call", OLD_MESSAGES)
def test_what_was_leased_before_an_upgrade_may_be_ended_after_it(http, http_worker, spec, call):
    http.post("/v1/studies", json={"spec": spec})
    grant = http_worker.lease()
    assert http.post(f"/v1/jobs/{grant.job}:{call}", json=OLD_MESSAGES[call]).status_code == 200
    old = {"worker": "w", "protocol_version": 1, "kinds": ["prepare"], "targets": ["cpu/torch"], "wait_s": 0}
    refused = problem(http.post("/v1/jobs:lease", json=old))
    assert (refused.status, refused.code) == (409, "upgrade_needed")
    assert refused.detail.endswith("upgrade the worker")


def test_a_browser_gets_a_page_where_there_is_none(http):
    looked = http.get("/no<b>where", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (looked.status_code, looked.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "/no&lt;b&gt;where" in looked.text
    assert "<b>" not in looked.text
    for path, accept in (("/nowhere", "*/*"), ("/v1/nowhere", "text/html")):
        told = http.get(path, headers={"Accept": accept})
        assert (told.status_code, told.json()["code"]) == (404, "not_found")
