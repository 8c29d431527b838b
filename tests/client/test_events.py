"""Events as they come, over a real socket; and what a client makes of a stream that breaks."""

import json
import threading

import httpx
import pytest

from cli.main import main
from client import Client, UnexpectedAnswer, Unreachable
from protocol.events import EventKind, Topic
from protocol.jobs import PROTOCOL_VERSION, Failure, FailureReason, JobKind, LeaseRequest, Report
from protocol.views import StudyState

MESSAGES = (
    b": welcome\n\n"
    b'id: 7\nevent: trial\ndata: {"study":"demo","trial":3,"kind":"state"}\n\n'
    b'id: 9\nevent: study\ndata: {"study":"demo","trial":null,"kind":"state"}\n\n'
)


class Broken(httpx.SyncByteStream):
    """A body in small pieces, which ends in the middle of a connection."""

    def __init__(self, content):
        self.content = content

    def __iter__(self):
        for place in range(0, len(self.content), 5):
            yield self.content[place : place + 5]
        raise httpx.ReadError("reset")


class Service:
    """Answers with these, in order, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.pauses = list(answers), [], []

    def client(self):
        return Client("http://service:1", wire=httpx.MockTransport(self), pause=self.pauses.append, patience_s=0.3)

    def __call__(self, request):
        self.asked.append(request.headers.get("Last-Event-ID"))
        answer = self.answers.pop(0) if self.answers else httpx.ConnectError("refused")
        if isinstance(answer, Exception):
            raise answer
        return answer


def stream(content):
    return httpx.Response(200, stream=Broken(content), headers={"Content-Type": "text/event-stream"})


def test_a_stream_that_breaks_is_taken_up_behind_the_last_event():
    service = Service(stream(MESSAGES), httpx.ConnectError("starting"), stream(MESSAGES.replace(b"id: 9", b"id: 11")))
    with service.client() as client:
        events = client.studies.events("demo")
        found = [next(events) for _ in range(6)]
    assert [None if event is None else event.number for event in found] == [None, 7, 9, None, 7, 11]
    assert found[1].topic is Topic.TRIAL
    assert (found[1].data.study, found[1].data.trial, found[1].data.kind) == ("demo", 3, EventKind.STATE)
    assert service.asked == [None, "9", "9"]


def test_a_service_that_is_gone_is_said_with_what_was_tried():
    service = Service(stream(MESSAGES))
    with service.client() as client, pytest.raises(Unreachable, match=r"GET /studies/demo/events: tried 3 times"):
        list(client.studies.events("demo"))


def test_an_event_of_another_kind_of_service_is_recognised():
    service = Service(stream(b"id: x\nevent: trial\ndata: {}\n\n"))
    with service.client() as client, pytest.raises(UnexpectedAnswer, match="an event that this version"):
        next(client.studies.events("demo"))


def test_a_study_is_watched_to_its_end(client, spec):
    study = client.studies.create(spec("watched"))
    watched = study.watch()
    assert next(watched).state is StudyState.PREPARING
    stopping = threading.Thread(target=lambda: client.studies.stop("watched"))
    stopping.start()
    assert [view.state for view in watched][-1] is StudyState.STOPPED
    stopping.join()


def watched_by_command(address, capsys, name, *options):
    with pytest.raises(SystemExit) as caught:
        main(["study", "watch", name, "--url", address, *options])
    return caught.value.code, capsys.readouterr().out


def test_the_command_that_watches_ends_with_the_study(client, spec, address, capsys):
    client.studies.create(spec("resting")).stop()
    code, out = watched_by_command(address, capsys, "resting", "--json")
    assert code == 0
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["stopped"]
    assert watched_by_command(address, capsys, "resting") == (0, "study resting  stopped\n")


def test_the_command_that_watches_fails_with_the_study(client, spec, address, capsys):
    client.studies.create(spec("failing"))
    request = LeaseRequest(worker="test", protocol_version=PROTOCOL_VERSION, kinds=(JobKind.PREPARE,), wait_s=0)
    while (grant := client.jobs.lease(request)) is not None:
        failure = Failure(reason=FailureReason.INVALID, message="there is no such teacher")
        client.jobs.report(grant.job, Report(attempt=grant.attempt, result=failure))
    assert watched_by_command(address, capsys, "failing") == (1, "study failing  failed\n")
