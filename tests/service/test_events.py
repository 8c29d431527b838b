import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import httpx
import pytest

from protocol.events import EventKind, Topic
from protocol.jobs import JobKind, Progress
from service.api import event_watch
from service.api.event_watch import EventWatch
from service.operations import lifecycle

PATIENCE_S = 20.0


def number(store):
    with store.write() as uow:
        return uow.events.number()


def told(store, after=0, study=None):
    number(store)
    with store.read() as uow:
        events = uow.events.after(after, 1000, study)
    assert [event.number for event in events] == sorted({event.number for event in events})
    return [(str(one.topic), one.data.study, one.data.trial, str(one.data.kind)) for one in events]


def test_what_changes_is_told_and_what_is_rolled_back_is_not(worker, store):
    worker.create()
    assert told(store) == [("study", "demo", None, "created")]
    grant = worker.lease()
    worker.renew(grant)
    assert told(store, 1) == [("study", "demo", None, "job"), ("worker", None, None, "job")]
    worker.renew(grant, progress=Progress(stage="s", done=1, total=2))
    worker.renew(grant, progress=Progress(stage="s", done=1, total=2))
    assert told(store, 3) == [("study", "demo", None, "progress")]

    def broken():
        with store.write() as uow:
            lifecycle.stop_study(uow, "demo")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        broken()
    assert told(store, 4) == []


def test_a_trial_is_told_of_from_its_beginning_to_its_end(worker, store):
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    assert ("trial", "demo", 1, "created") in told(store)
    seen = len(told(store))
    worker.report(worker.lease(kinds=(JobKind.MEASURE,)))
    worker.report(worker.lease(kinds=(JobKind.DISTILL,)))
    of_trial = [one for one in told(store, seen) if one[0] == "trial"]
    assert of_trial == [
        ("trial", "demo", 1, "state"),
        ("trial", "demo", 1, "state"),
        ("trial", "demo", 1, "job"),
        ("trial", "demo", 1, "state"),
    ]


def test_deleted_study_is_told_of_by_its_name(worker, store):
    worker.create()
    with store.write() as uow:
        lifecycle.stop_study(uow, "demo")
    with store.write() as uow:
        lifecycle.delete_study(uow, "demo")
    assert told(store, study="demo")[-1] == ("study", "demo", None, "deleted")


def test_event_of_a_transaction_that_ends_late_comes_after_those_that_were_seen(database_url, store, worker):
    """The one that began first ends last: whoever reads meanwhile must not pass it."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time: none ends before one that began earlier")
    worker.create(name="first")
    worker.create(name="second")
    seen = len(told(store))
    with store.write() as early:
        early.events.note(Topic.STUDY, EventKind.CHANGED, 1)
        event_watch_write(early)
        with store.write() as late:
            late.events.note(Topic.STUDY, EventKind.CHANGED, 2)
        assert told(store, seen) == [("study", "second", None, "changed")]
    assert told(store, seen) == [("study", "second", None, "changed"), ("study", "first", None, "changed")]


def event_watch_write(uow):
    """Writes the event now, as a commit does first of all."""
    from service.store.events import _write

    _write(uow._session)


def test_two_who_number_at_once_give_each_number_once(database_url, store, worker):
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    worker.create()
    with store.write() as one:
        assert one.events.number() == 1
        with store.write() as other:
            assert other.events.number() == 0
    assert told(store) == [("study", "demo", None, "created")]


def test_old_events_are_forgotten_but_that_some_were_is_not(worker, store, clock):
    for name in ("a", "b", "c"):
        worker.create(name=name)
    clock.advance(100)
    worker.create(name="d")
    with store.write() as uow:
        uow.events.prune(uow.now - timedelta(seconds=50))
    with store.read() as uow:
        assert (uow.events.oldest(), uow.events.newest()) == (4, 4)
    clock.advance(100)
    with store.write() as uow:
        uow.events.prune(uow.now)
    assert told(store) == [("study", "d", None, "created")]


async def until(happened):
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


class Listener:
    def __init__(self, watch, **arguments):
        self.heard = []
        self.task = asyncio.create_task(self.listen(watch.follow(**arguments)))

    async def listen(self, stream):
        assert await anext(stream) is None  # from here on nothing passes
        async for event in stream:
            self.heard.append(event)

    def told(self):
        return [(event.data.study, str(event.data.kind)) for event in self.heard if event is not None]


def watched(store, test, **arguments):
    """Runs the test with a watch that looks often."""

    async def run():
        watch = EventWatch(store, poll_s=0.005, **arguments)
        try:
            await test(watch)
        finally:
            await watch.closed()

    asyncio.run(run())


def test_everybody_hears_what_is_theirs_from_one_look(store, worker):
    async def test(watch):
        everything, own = Listener(watch), Listener(watch, study="b")
        await until(lambda: watch._listeners == 2)
        await asyncio.to_thread(worker.create, name="a")
        await asyncio.to_thread(worker.create, name="b")
        await until(lambda: own.told() and len(everything.told()) == 2)
        assert everything.told() == [("a", "created"), ("b", "created")]
        assert own.told() == [("b", "created")]
        late = Listener(watch, after=everything.heard[0].number)
        await until(lambda: late.told())
        assert late.told() == [("b", "created")]
        watch.close()
        await asyncio.gather(everything.task, own.task, late.task)

    watched(store, test)


def test_listener_that_comes_again_hears_what_happened_meanwhile(store, worker, monkeypatch):
    """Also of more than is read at once."""
    monkeypatch.setattr(event_watch, "MOST_READ", 2)
    names = [f"s{number}" for number in range(7)]
    for name in names:
        worker.create(name=name)

    async def test(watch):
        again = Listener(watch, after=0)
        await until(lambda: len(again.heard) == 7)
        assert again.told() == [(name, "created") for name in names]
        resumed = Listener(watch, after=again.heard[4].number)
        await until(lambda: len(resumed.heard) == 2)
        assert resumed.told() == again.told()[5:]

    watched(store, test)


def test_listener_is_told_that_it_missed_something(store, worker, clock):
    for name in ("a", "b"):
        worker.create(name=name)
        clock.advance(100)
    with store.write() as uow:
        uow.events.prune(uow.now)

    async def test(watch):
        listeners = [Listener(watch, after=after) for after in (0, 99)]
        await until(lambda: all(listener.heard for listener in listeners))
        assert [listener.told() for listener in listeners] == [[(None, "missed")]] * 2
        assert listeners[0].heard[0].number == 2
        await asyncio.to_thread(worker.create, name="c")
        await until(lambda: all(len(listener.heard) == 2 for listener in listeners))

    watched(store, test)


def test_quiet_listener_is_told_that_nothing_happened_also_while_others_hear_much(store, worker):
    async def test(watch):
        quiet = Listener(watch, study="quiet")
        await until(lambda: quiet.heard)
        for name in ("a", "b", "c"):
            await asyncio.to_thread(worker.create, name=name)
        await until(lambda: len(quiet.heard) > 2)
        assert set(quiet.heard) == {None}

    watched(store, test, quiet_s=0.02)


def test_nothing_passes_between_the_last_listener_and_the_next(store, worker):
    """Who looks for both still sleeps, and has not seen what happened meanwhile."""

    async def test(watch):
        first = Listener(watch)
        await until(lambda: watch._listeners)
        watch._poll_s = 1.0
        await asyncio.to_thread(worker.create, name="a")
        await until(lambda: first.heard)
        first.task.cancel()
        await until(lambda: not watch._listeners)
        await asyncio.to_thread(worker.create, name="b")
        second = Listener(watch, after=0)
        await until(lambda: watch._listeners)
        await asyncio.to_thread(worker.create, name="c")
        await until(lambda: ("c", "created") in second.told())
        assert second.told() == [(name, "created") for name in ("a", "b", "c")]

    watched(store, test)


def test_two_services_over_one_store_tell_the_same(store, worker):
    async def test(watch):
        other_watch = EventWatch(store, poll_s=0.005)
        one, other = Listener(watch), Listener(other_watch)
        await until(lambda: watch._listeners == other_watch._listeners == 1)
        for name in ("a", "b", "c"):
            await asyncio.to_thread(worker.create, name=name)
        await until(lambda: len(one.heard) == len(other.heard) == 3)
        assert one.heard == other.heard
        await other_watch.closed()

    watched(store, test)


def test_events_over_http_end_when_the_service_does(http, http_worker, spec):
    http.post("/v1/studies", json={"spec": spec})
    answers = {}

    def listen(path, **headers):
        answers[path] = http.get(path, headers={"Last-Event-ID": "0", **headers})

    paths = ("/v1/studies/demo/events", "/v1/events")
    threads = [threading.Thread(target=listen, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    events = http.app.state.parts.events
    end = time.monotonic() + PATIENCE_S
    while events._listeners < 2 or not events._kept:
        if events._listeners == 2:
            http.post("/v1/studies/demo:stop")
        assert time.monotonic() < end
    http.portal.call(events.close)
    for thread in threads:
        thread.join(PATIENCE_S)
    for path in paths:
        assert answers[path].headers["content-type"].startswith("text/event-stream")
        first = answers[path].text.split("\n\n")[1].split("\n")
        assert first[:2] == ["id: 1", "event: study"]
        assert json.loads(first[2].removeprefix("data: ")) == {"study": "demo", "trial": None, "kind": "created"}


SERVE = """
import sys
from pathlib import Path
from service.server import serve
from service.settings import Settings, sqlite_url
home = Path(sys.argv[1])
serve(Settings(home=home, database_url=sqlite_url(home), port=0), lambda address: print(address, flush=True))
"""


def test_listener_over_a_socket_hears_at_once_and_does_not_hold_up_the_end(tmp_path, spec):
    service = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        address = service.stdout.readline().strip()
        with httpx.stream("GET", f"{address}/v1/events", timeout=PATIENCE_S) as stream:
            lines = stream.iter_lines()
            assert [next(lines), next(lines)] == [": listening", ""]
            assert httpx.post(f"{address}/v1/studies", json={"spec": spec}).status_code == 201
            assert [next(lines) for _ in range(4)][:2] == ["id: 1", "event: study"]
            service.send_signal(signal.SIGTERM)
            assert [line for line in lines if line.startswith("id: ")] == []
        assert service.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    finally:
        service.kill()
        service.wait()
        service.stdout.close()


@pytest.mark.parametrize(("path", "given", "status"), [("/v1/studies/none/events", "1", 404), ("/v1/events", "x", 422)])
def test_events_that_cannot_be_told_are_refused(http, path, given, status):
    refused = http.get(path, headers={"Last-Event-ID": given})
    assert refused.status_code == refused.json()["status"] == status
