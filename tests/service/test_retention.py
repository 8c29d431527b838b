"""Artefacts that nobody needs go, and no other one ever does. All on both stores."""

import hashlib
import os
import threading
from datetime import timedelta

import pytest

from protocol.artefact import manifest_bytes
from protocol.jobs import JobKind, Report
from service.errors import UnknownArtefactError
from service.operations import jobs, retention
from service.settings import Settings
from service.store.artefact_files import ArtefactFiles
from service.store.duties import COLLECT

HOUR_S = 3600.0
GRACE_S = 24 * HOUR_S


def name_of(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def files(settings):
    return ArtefactFiles(settings.artefacts)


@pytest.fixture
def send(store, settings, files):
    """Stores bytes as an artefact; its name."""

    def send(content):
        with files.upload(name_of(content)) as upload:
            upload.write(content)
            upload.finish()
            with store.write() as uow:
                retention.store_upload(uow, settings, upload)
        return name_of(content)

    return send


@pytest.fixture
def collect(store, files, settings):
    def collect(**options):
        return retention.collect(store, files, settings, **options)

    return collect


def there(store, files, identity):
    with store.read() as uow:
        row = uow.artefacts.find(identity) is not None
    assert row == files.exists(identity)
    return row


def test_what_nobody_names_goes_after_the_grace_period(store, files, send, collect, clock):
    identity = send(b"nobody's")
    clock.advance(GRACE_S - 1)
    assert collect(strays=False) == 0
    clock.advance(2)
    assert collect(strays=False) == 1
    assert not there(store, files, identity)
    assert not list(files.discarded())


def test_what_is_asked_for_again_stays(store, files, send, collect, clock, http):
    identity = send(b"sent before")
    clock.advance(GRACE_S - 10)
    assert http.head(f"/v1/artefacts/{identity}").status_code == 200
    clock.advance(60)
    assert collect(strays=False) == 0
    clock.advance(GRACE_S)
    assert collect(strays=False) == 1
    assert http.head(f"/v1/artefacts/{identity}").status_code == 404


def test_what_was_touched_a_moment_ago_is_not_written_again(store, send, clock):
    identity = send(b"one")

    def touched_at():
        with store.read() as uow:
            return uow.artefacts.find(identity).touched_at

    sent_at = touched_at()
    for seconds, is_written in ((59, False), (1, True)):
        clock.advance(seconds)
        with store.write() as uow:
            assert retention.touch(uow, identity)
        assert (touched_at() != sent_at) is is_written


def test_a_folder_keeps_its_files_and_takes_them_with_it(store, files, send, collect, clock):
    first, second, alone = send(b"one"), send(b"two"), send(b"alone")
    clock.advance(GRACE_S + 1)
    folder = send(manifest_bytes({"a": first, "b/c": second}))
    clock.advance(GRACE_S - 10)
    assert collect(strays=False) == 1
    assert [there(store, files, each) for each in (first, second, folder, alone)] == [True, True, True, False]
    clock.advance(11)
    assert collect(strays=False) == 3


def test_a_folder_of_what_was_never_sent_is_refused(store, files, send):
    folder = manifest_bytes({"a": name_of(b"never sent")})
    with pytest.raises(UnknownArtefactError, match="was never uploaded: send it first"):
        send(folder)
    assert not there(store, files, name_of(folder))


def test_artefacts_of_a_study_stay_as_long_as_they_are_needed(store, files, send, collect, clock, worker, answers):
    """Data, teacher, exports, the front's and the finalists' weights; not the weights of who is dominated."""
    kept = {name: send(name.encode()) for name in ("data", "teacher", "export", "checkpoint")}
    weights = {}

    def weights_of(grant):
        weights[grant.trial] = send(b"weights of trial %d" % grant.trial)
        return answers.to(grant.work).model_copy(update={"weights": weights[grant.trial]})

    answers.accuracy = lambda architecture: 0.9 / architecture.layers  # so that the smallest are the best
    worker.create()
    worker.finish({JobKind.DISTILL: weights_of})
    assert worker.study().state == "completed"
    clock.advance(GRACE_S + 1)
    collect(strays=False)
    shown = worker.trials()
    needed = {trial.number for trial in shown if trial.on_front or trial.finalist is not None}
    assert 0 < len(needed) < len(weights)
    assert {number for number, identity in weights.items() if there(store, files, identity)} == needed
    assert [there(store, files, kept[name]) for name in ("data", "teacher", "export")] == [True] * 3
    assert not there(store, files, kept["checkpoint"])


def test_checkpoint_of_a_job_that_goes_on_stays_and_goes_with_the_job(store, files, send, collect, clock, worker):
    for name in ("data", "teacher", "weights", "export"):
        send(name.encode())
    first, second = send(b"checkpoint one"), send(b"checkpoint two")
    worker.create(strategy="random")
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.finish({}, JobKind.MEASURE)
    grant = worker.lease(kinds=(JobKind.DISTILL,))
    worker.renew(grant, checkpoint=first)
    worker.renew(grant, checkpoint=second)
    clock.advance(GRACE_S + 1)
    worker.release(worker.lease(kinds=(JobKind.DISTILL,)) or grant)
    collect(strays=False)
    assert [there(store, files, each) for each in (first, second)] == [False, True]


def test_report_and_collection_of_the_same_artefact_come_one_after_the_other(
    store, files, send, collect, clock, worker, answers, settings
):
    """Whichever is first: a report that was accepted names what is there, or is refused. At every line of both."""
    worker.create()
    old = {name: send(name.encode()) for name in ("data", "teacher")}
    clock.advance(GRACE_S + 1)
    grant = worker.lease()
    report = Report(attempt=grant.attempt, result=answers.to(grant.work))
    locked, collected = threading.Event(), []
    thread = threading.Thread(target=lambda: (locked.wait(), collected.append(collect(strays=False))))
    thread.start()
    with store.write() as uow:
        jobs.report(uow, settings, grant.job, report)
        uow.flush()
        locked.set()  # the collection begins while the report has not been committed
        thread.join(0.2)
    thread.join()
    assert all(there(store, files, each) for each in old.values())
    assert collect(strays=False) == 0


def test_report_that_waits_for_a_collection_is_refused(store, files, send, clock, worker, answers, settings):
    worker.create()
    old = [send(name.encode()) for name in ("data", "teacher")]
    clock.advance(GRACE_S + 1)
    grant = worker.lease()
    report = Report(attempt=grant.attempt, result=answers.to(grant.work))
    met = []

    def say():
        try:
            with store.write() as uow:
                jobs.report(uow, settings, grant.job, report)
        except UnknownArtefactError as error:
            met.append(str(error))

    thread = threading.Thread(target=say)
    with store.write() as uow:
        assert set(uow.artefacts.collect(old, uow.now - timedelta(seconds=GRACE_S))) == set(old)
        thread.start()
        thread.join(0.2)
        assert not met
    thread.join()
    assert "was never uploaded: send it first" in met[0]
    assert worker.study().state == "preparing"


def test_upload_that_waits_for_a_collection_is_there_afterwards(store, files, send, clock):
    identity = send(b"again")
    clock.advance(GRACE_S + 1)
    thread = threading.Thread(target=send, args=(b"again",))
    with store.write() as uow:
        uow.artefacts.collect([identity], uow.now - timedelta(seconds=GRACE_S))
        files.discard(identity)
        thread.start()
        thread.join(0.2)
    thread.join()
    files.remove(identity)
    assert there(store, files, identity)


def test_collection_that_is_killed_before_its_commit_loses_nothing(store, files, send, collect, clock):
    identity = send(b"half way")
    files.discard(identity)  # and then the process is killed: the row is still there
    assert collect(strays=False) == 0
    assert there(store, files, identity)
    clock.advance(GRACE_S + 1)
    files.discard(identity)
    with store.write() as uow:
        uow.artefacts.collect([identity], uow.now)  # killed between the commit and the removal
    collect(strays=False)
    assert not there(store, files, identity)
    assert files.discarded() == []


def test_files_that_no_row_knows_go(store, files, settings, collect, clock, send):
    stray = files.path(name_of(b"stray"))
    stray.parent.mkdir(parents=True)
    broken = stray.with_name("upload-broken-off")
    fresh = stray.with_name("upload-under-way")
    for path in (stray, broken, fresh):
        path.write_bytes(b"stray")
    old = (clock.now - timedelta(seconds=GRACE_S + 10)).timestamp()
    for path in (stray, broken):
        os.utime(path, (old, old))
    new = clock.now.timestamp()
    os.utime(fresh, (new, new))
    assert collect() == 1
    assert [path.exists() for path in (stray, broken, fresh)] == [False, False, True]


def test_only_one_process_has_a_duty(store, clock):
    with store.write() as uow:
        assert uow.duties.take(COLLECT, "one", uow.now, 60)
    with store.write() as uow:
        assert not uow.duties.take(COLLECT, "other", uow.now, 60)
        assert uow.duties.take(COLLECT, "one", uow.now, 60)
    clock.advance(61)
    with store.write() as uow:
        assert uow.duties.take(COLLECT, "other", uow.now, 60)
        uow.duties.leave(COLLECT, "one")
    with store.write() as uow:
        assert not uow.duties.take(COLLECT, "one", uow.now, 60)


def test_upload_above_the_quota_is_refused_with_what_to_do(http, settings, monkeypatch):
    tight = Settings(home=settings.home, database_url=settings.database_url, artefact_quota_gb=10e-9)
    parts = http.app.state.parts
    monkeypatch.setattr(http.app.state, "parts", type(parts)(**{**_fields(parts), "settings": tight}))
    assert http.put(f"/v1/artefacts/{name_of(b'12345678')}", content=b"12345678", headers=LOCAL).status_code == 201
    refused = http.put(f"/v1/artefacts/{name_of(b'abc')}", content=b"abc", headers=LOCAL)
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    assert "raise STILLHOUSE_ARTEFACT_QUOTA_GB, or delete studies" in refused.json()["detail"]
    again = http.put(f"/v1/artefacts/{name_of(b'12345678')}", content=b"12345678", headers=LOCAL)
    assert again.status_code == 204


LOCAL = {"Host": "localhost"}


def _fields(parts):
    return {name: getattr(parts, name) for name in type(parts).__slots__}
