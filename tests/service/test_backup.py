"""A backup of either store becomes either store, and nobody who worked before it is believed."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing

import psycopg
import pytest

from protocol.artefact import manifest_bytes
from protocol.jobs import JobKind
from service.backup import back_up, restore
from service.errors import BackupError, LeaseLostError, StoreUnusableError
from service.settings import Settings, sqlite_url
from service.store.migrate import difference
from service.store.unit_of_work import Store


def name_of(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def studied(http_worker, http, worker, store, spec):
    """A study that has ended, another one in the middle, and artefacts with files."""
    folder = manifest_bytes({"weights.bin": name_of(b"weights")})
    for content in (b"checkpoint", folder):
        assert http.put(f"/v1/artefacts/{name_of(content)}", content=content).is_success
    worker.create()
    worker.finish({})
    worker.create(name="other")
    worker.work(JobKind.PREPARE)
    return worker


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """Settings of another home and an empty database."""
    home = tmp_path / "second"
    if request.param == "sqlite":
        yield Settings(home=home, database_url=sqlite_url(home), hosts=("testserver",))
        return
    url = request.getfixturevalue("postgres")
    base, _, rest = url.partition("?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
        connection.execute("CREATE DATABASE restored")
    yield Settings(home=home, database_url=f"{base.rpartition('/')[0]}/restored?{rest}", hosts=("testserver",))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE restored WITH (FORCE)")


def test_a_restored_store_shows_what_was_backed_up_and_goes_on(
    studied, settings, store, empty, clock, answers, tmp_path
):
    held = studied.lease()
    before = {name: (studied.study(name), studied.trials(name)) for name in ("demo", "other")}
    manifest = back_up(settings, tmp_path / "backup")
    assert manifest.artefacts == 6
    assert manifest.tables["jobs"]["rows"] > 10

    restore(empty, tmp_path / "backup")
    assert difference(empty.database_url) == []
    second = Store(empty.database_url, clock)
    try:
        worker = type(studied)(second, empty, answers)
        assert (worker.study("demo"), [trial.metrics for trial in worker.trials("demo")]) == (
            before["demo"][0],
            [trial.metrics for trial in before["demo"][1]],
        )
        with pytest.raises(LeaseLostError):
            worker.report(held)
        clock.advance(empty.lease_s + 1)
        again = worker.lease()
        assert (again.job, again.work) == (held.job, held.work)
        worker.report(again)
        worker.create(name="third")
        assert worker.lease(kinds=(JobKind.PREPARE,)).job > held.job + 1000
        worker.finish({})
        assert worker.study("other").state == "completed"
        for path in (tmp_path / "backup" / "artefacts").glob("*/*"):
            assert (empty.artefacts / path.parent.name / path.name).read_bytes() == path.read_bytes()
    finally:
        second.close()


def test_restore_overwrites_nothing_and_may_be_repeated_where_it_broke_off(studied, settings, store, empty, tmp_path):
    back_up(settings, tmp_path / "backup")
    with pytest.raises(StoreUnusableError, match="restore overwrites nothing"):
        restore(settings, tmp_path / "backup")
    shutil.copytree(tmp_path / "backup" / "artefacts", empty.artefacts)
    broken = next(empty.artefacts.glob("*/*"))
    broken.write_bytes(b"half of it")
    restore(empty, tmp_path / "backup")
    assert name_of(broken.read_bytes()) == broken.name
    with pytest.raises(StoreUnusableError, match="restore overwrites nothing"):
        restore(empty, tmp_path / "backup")


def test_backup_goes_into_an_empty_folder_only(settings, store, tmp_path):
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "something").write_text("")
    with pytest.raises(BackupError, match="name a folder that is empty"):
        back_up(settings, tmp_path / "backup")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "interrupted"),
        (lambda folder: (folder / "store" / "studies.jsonl").write_text("{}"), "studies.jsonl is damaged"),
        (lambda folder: next(folder.glob("artefacts/*/*")).write_bytes(b"?"), "its SHA-256 is not its name"),
        (lambda folder: shutil.rmtree(folder / "artefacts"), "is not in"),
        (lambda folder: _change(folder, "revision", "9999"), "which is newer: upgrade this one"),
        (lambda folder: _change(folder, "format", 7), "this version reads format 1"),
    ],
)
def test_damaged_backup_is_refused_and_nothing_is_restored(http_worker, settings, tmp_path, damage, message):
    if not settings.database_url.startswith("sqlite"):
        pytest.skip("what is read is the same of both")
    back_up(settings, tmp_path / "backup")
    damage(tmp_path / "backup")
    home = tmp_path / "second"
    with pytest.raises(BackupError, match=message):
        restore(Settings(home=home, database_url=sqlite_url(home)), tmp_path / "backup")
    if (home / "stillhouse.db").exists():
        with closing(sqlite3.connect(home / "stillhouse.db")) as connection:
            assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []


def test_artefact_that_lacks_fails_the_backup(http_worker, settings, tmp_path):
    next(settings.artefacts.glob("*/*")).unlink()
    with pytest.raises(BackupError, match="although the database knows it"):
        back_up(settings, tmp_path / "backup")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def _change(folder, key, value):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
