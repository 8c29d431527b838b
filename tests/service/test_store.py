import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import event

from protocol.study import StudySpec
from protocol.views import StudyState
from service.errors import StorageFullError, StoreUnavailableError
from service.operations.studies import create_study
from service.settings import sqlite_url
from service.store.migrate import upgrade
from service.store.tables import Study
from service.store.unit_of_work import Store


def names(store):
    with store.read() as uow:
        return [study.name for study in uow.studies.all()]


def named(spec, name):
    return StudySpec.model_validate({**spec, "name": name})


def test_unit_of_work_is_stored_in_full_or_not_at_all(store, spec):
    def broken():
        with store.write() as uow:
            create_study(uow, named(spec, "lost"))
            uow.flush()
            raise ConnectionError

    with pytest.raises(ConnectionError):
        broken()
    with store.write() as uow:
        create_study(uow, named(spec, "kept"))
    assert names(store) == ["kept"]


def test_reader_neither_waits_for_a_writer_nor_sees_what_is_not_committed(store, spec):
    with store.write() as uow:
        create_study(uow, named(spec, "demo"))
        uow.flush()
        assert names(store) == []
    assert names(store) == ["demo"]


def test_writers_of_one_process_take_turns(database_url, spec, monkeypatch):
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL has many writers")
    monkeypatch.setattr("service.store.engine.BUSY_TIMEOUT_S", 0.001)  # SQLite itself would not wait
    store, begun, over = Store(database_url), threading.Event(), threading.Event()

    def first():
        with store.write() as uow:
            create_study(uow, named(spec, "first"))
            uow.flush()
            begun.set()
            assert over.wait(20)

    def second():
        with store.write() as uow:
            create_study(uow, named(spec, "second"))

    with closing(store), ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert begun.wait(20)
        other = pool.submit(second)
        with pytest.raises(TimeoutError):
            other.result(0.1)
        over.set()
        one.result(), other.result()
        assert sorted(names(store)) == ["first", "second"]


def test_reader_sees_one_state_throughout(store, spec):
    with store.read() as early:
        assert early.studies.all() == []
        with store.write() as uow:
            create_study(uow, named(spec, "demo"))
        assert early.studies.find("demo") is None
    assert names(store) == ["demo"]


def test_specification_comes_back_as_it_was(store, spec):
    before = named({**spec, "baselines": {}, "constraints": ["latency_p50 <= 4 ms"]}, "demo")
    with store.write() as uow:
        create_study(uow, before)
    with store.read() as uow:
        after = uow.studies.find("demo").spec
    assert after == before
    assert after.digest == before.digest


def test_instants_come_back_in_utc_whatever_zone_they_had(store, spec):
    at = datetime(2026, 7, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with store.write() as uow:
        uow.studies.add(study_created(spec, at))
    with store.read() as uow:
        after = uow.studies.find("demo").created_at
    assert after == at
    assert after.utcoffset() == timedelta(0)


def test_instant_without_a_zone_is_refused(store, spec):
    with pytest.raises(Exception, match="needs a time zone"), store.write() as uow:
        uow.studies.add(study_created(spec, datetime(2026, 7, 1)))  # noqa: DTZ001
    assert names(store) == []


def test_database_that_does_not_answer_is_unavailable():
    store = Store("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailableError, match="did not answer") as refused:
        names(store)
    store.close()
    assert refused.value.status == 503


def test_database_that_cannot_grow_is_named(tmp_path, spec):
    upgrade(sqlite_url(tmp_path))
    store = Store(sqlite_url(tmp_path))
    event.listen(store._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
    large = named({**spec, "baselines": {f"b{number}": BASELINE for number in range(2000)}}, "large")
    with pytest.raises(StorageFullError, match=re.escape(str(tmp_path / "stillhouse.db"))), store.write() as uow:
        create_study(uow, large)
    store.close()


BASELINE = {"layers": 1, "hidden_size": 16, "heads": 1, "head_size": 16, "ffn_size": 32}


def study_created(spec, at):
    given = named(spec, "demo")
    return Study(name="demo", digest=given.digest, spec=given, state=StudyState.PREPARING, created_at=at)
