from concurrent.futures import ThreadPoolExecutor

import pytest

KEY = {"Idempotency-Key": "a key of mine"}


def test_the_same_request_has_the_same_answer_whatever_happened_since(http, http_worker, spec):
    first = http.post("/v1/studies", json={"spec": spec}, headers=KEY)
    assert first.status_code == 201
    http_worker.work()
    again = http.post("/v1/studies", json={"spec": spec}, headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    assert http.post("/v1/studies", json={"spec": spec}).json() != first.json()


def test_another_request_with_the_key_is_refused(http, spec):
    http.post("/v1/studies", json={"spec": spec}, headers=KEY)
    refused = http.post("/v1/studies", json={"spec": {**spec, "name": "other"}}, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert [study["name"] for study in http.get("/v1/studies").json()] == ["demo"]


def test_what_was_refused_may_be_sent_again(http, spec):
    http.post("/v1/studies", json={"spec": spec})
    other = {**spec, "seed": 7}
    assert http.post("/v1/studies", json={"spec": other}, headers=KEY).json()["code"] == "study_differs"
    http.post("/v1/studies/demo:stop")
    http.delete("/v1/studies/demo")
    assert http.post("/v1/studies", json={"spec": other}, headers=KEY).status_code == 201


def test_deleted_study_is_not_started_again_by_a_delayed_request(http, spec):
    http.post("/v1/studies", json={"spec": spec}, headers=KEY)
    http.post("/v1/studies/demo:stop")
    http.delete("/v1/studies/demo")
    assert http.post("/v1/studies", json={"spec": spec}, headers=KEY).status_code == 201
    assert http.get("/v1/studies").json() == []


def test_requests_at_once_have_one_answer(http, spec):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: http.post("/v1/studies", json={"spec": spec}, headers=KEY), range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_key_that_is_none_is_refused(http, spec, key):
    refused = http.post("/v1/studies", json={"spec": spec}, headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
