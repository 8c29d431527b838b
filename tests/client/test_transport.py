"""How a client meets a service that refuses, is overloaded or does not answer."""

import socket

import httpx
import pytest

from client import Client, ClientError, InvalidToken, ProblemError, UnexpectedAnswer, Unreachable
from protocol.jobs import LeaseRequest, Release, Renewal

LEASE = LeaseRequest(worker="w", protocol_version=1, kinds=(), wait_s=0)


class Script:
    """A wire that answers with what it was given, in order, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def client(self, **options):
        self.pauses = []
        return Client("http://service:1", wire=httpx.MockTransport(self), pause=self.pauses.append, **options)

    def __call__(self, request):
        self.asked.append(f"{request.method} {request.url.path}")
        self.authorised = request.headers.get("Authorization")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def problem(status, code, **more):
    body = {"title": "no", "status": status, "detail": f"because {code}", "code": code, **more}
    return httpx.Response(status, json=body)


def test_a_refusal_carries_the_problem():
    script = Script(problem(409, "study_differs", errors=["seed: 0 -> 1"]))
    with script.client() as client, pytest.raises(ProblemError) as caught:
        client.studies.get("demo")
    assert caught.value.code == "study_differs"
    assert caught.value.problem.errors == ["seed: 0 -> 1"]
    assert "because study_differs" in str(caught.value)
    assert "seed: 0 -> 1" in str(caught.value)


def test_an_unreachable_service_is_asked_again_with_growing_pauses_and_the_error_says_so():
    script = Script(httpx.ConnectError("connection refused"))
    with script.client(patience_s=1.0) as client, pytest.raises(Unreachable) as caught:
        client.studies.list()
    assert script.pauses == pytest.approx([0.1, 0.2, 0.4, 0.3])
    assert len(script.asked) == 5
    for part in (
        "http://service:1",
        "GET /studies",
        "5 times",
        "1.0 s",
        "connection refused",
        "`stillhouse serve`",
        "--url",
    ):
        assert part in str(caught.value)


class Clock:
    """Time that passes only while an attempt is waited for."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize(
    ("error", "tries"), [(httpx.ReadTimeout("timed out"), 2), (httpx.RemoteProtocolError("cut off"), 5)]
)
def test_a_service_that_hangs_is_asked_once_more_and_one_that_breaks_off_again_and_again(error, tries):
    clock, asked = Clock(), []

    def wire(request):
        asked.append(request)
        clock.now_s += 30.0
        raise error

    options = {"patience_s": 1.0, "clock": clock, "pause": lambda pause_s: None}
    with (
        Client("http://service:1", wire=httpx.MockTransport(wire), **options) as client,
        pytest.raises(Unreachable) as caught,
    ):
        client.studies.list()
    assert len(asked) == tries
    waited_s = 30.0 * tries + (1.0 if tries > 2 else 0.1)
    assert f"tried {tries} times in {waited_s:.1f} s" in str(caught.value)


def test_an_answer_may_take_as_long_as_it_is_said():
    waiting = []

    def wire(request):
        waiting.append(request.extensions["timeout"])
        return httpx.Response(200, json=[])

    with Client("http://service:1", wire=httpx.MockTransport(wire), timeout_s=1.5) as client:
        client.studies.list()
    assert waiting == [{"connect": 1.5, "read": 1.5, "write": 1.5, "pool": 1.5}]


def test_an_answer_after_an_outage_is_as_good_as_any():
    script = Script(httpx.ConnectError("no"), httpx.ReadError("reset"), httpx.Response(200, json=[]))
    with script.client() as client:
        assert client.studies.list() == ()
    assert len(script.asked) == 3


def test_an_overloaded_service_is_given_the_time_that_it_asks_for():
    busy = problem(503, "store_unavailable")
    busy.headers["Retry-After"] = "2"
    script = Script(busy, httpx.Response(200, json=[]))
    with script.client() as client:
        assert client.studies.list() == ()
    assert script.pauses == [2.0]


def test_a_service_that_stays_overloaded_ends_as_a_problem():
    script = Script(*[problem(503, "store_unavailable") for _ in range(10)])
    with script.client(patience_s=0.3) as client, pytest.raises(ProblemError) as caught:
        client.studies.list()
    assert caught.value.code == "store_unavailable"


def test_a_lease_is_asked_for_once_because_its_answer_may_be_a_job():
    script = Script(httpx.ReadError("reset"))
    with script.client() as client, pytest.raises(Unreachable):
        client.jobs.lease(LEASE)
    assert script.asked == ["POST /v1/jobs:lease"]


def test_renewals_and_releases_are_sent_again():
    renewed = httpx.Response(200, json={"expires_at": "2030-01-01T00:00:00Z", "command": "cancel"})
    script = Script(httpx.ReadError("reset"), renewed, httpx.ReadError("reset"), httpx.Response(200, json={}))
    with script.client() as client:
        assert client.jobs.renew(7, Renewal(attempt=1)).command == "cancel"
        client.jobs.release(7, Release(attempt=1))
    assert script.asked == ["POST /v1/jobs/7:renew"] * 2 + ["POST /v1/jobs/7:release"] * 2


def test_no_job_is_none():
    with Script(httpx.Response(204)).client() as client:
        assert client.jobs.lease(LEASE) is None


@pytest.mark.parametrize(
    "answer", [httpx.Response(404, text="<html>nginx</html>"), httpx.Response(200, json={"hello": "world"})]
)
def test_another_program_on_the_port_is_recognised(answer):
    with Script(answer).client() as client, pytest.raises(UnexpectedAnswer):
        client.studies.get("demo")


@pytest.mark.parametrize(
    "address",
    ["localhost:8787", "ftp://host", "http://host:port", "http://", "", "http://:80", "http://localhost:99999"],
)
def test_an_address_that_is_none_is_refused_at_once(address):
    with pytest.raises(ClientError, match="address"):
        Client(address)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with Client("http://127.0.0.1:1", patience_s=0) as client, pytest.raises(Unreachable):
            client.studies.list()
        with pytest.raises(BlockingIOError):
            proxy.accept()


TOKEN = f"sth_0123abcd_{43 * 'x'}"


@pytest.mark.parametrize(
    ("environment", "given", "sent"),
    [
        ("", None, None),
        (TOKEN, None, f"Bearer {TOKEN}"),
        (f"{TOKEN}\n", None, f"Bearer {TOKEN}"),
        (TOKEN, "", None),
        ("", TOKEN, f"Bearer {TOKEN}"),
    ],
)
def test_the_token_of_the_environment_is_sent_unless_another_or_none_is_given(monkeypatch, environment, given, sent):
    monkeypatch.setenv("STILLHOUSE_TOKEN", environment)
    script = Script(httpx.Response(200, json=[]), httpx.Response(200, content=b""))
    with script.client(token=given) as client:
        client.studies.list()
        assert script.authorised == sent
        script.authorised = "not asked"
        with client._transport.stream("/artefacts/x") as blocks:
            assert list(blocks) == []
        assert script.authorised == sent


@pytest.mark.parametrize("token", ["secret", f"{TOKEN}x", "sth_é"])
def test_what_is_no_token_is_not_sent_and_not_repeated(token):
    with pytest.raises(InvalidToken, match="STILLHOUSE_TOKEN") as refused:
        Client("http://service:1", token=token)
    assert token not in str(refused.value)


def test_a_token_is_not_sent_on_to_where_an_answer_points():
    script = Script(httpx.Response(307, headers={"Location": "http://elsewhere/v1/studies"}))
    with script.client(token=TOKEN) as client, pytest.raises(UnexpectedAnswer):
        client.studies.list()
    assert script.asked == ["GET /v1/studies"]


def test_lists_are_read_to_their_last_page():
    following = httpx.Response(200, json=[], headers={"Link": '</v1/calibrations?limit=1000&cursor=x>; rel="next"'})
    script = Script(following, httpx.Response(200, json=[]))
    with script.client() as client:
        assert client.calibrations.list() == ()
    assert script.asked == ["GET /v1/calibrations", "GET /v1/calibrations"]
