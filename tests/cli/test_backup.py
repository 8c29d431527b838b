import json

import pytest

from cli.main import main
from service.settings import sqlite_url
from service.store.migrate import upgrade
from service.store.unit_of_work import Store

ARTEFACT = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
"""SHA-256 of `hello`."""


def stillhouse(*arguments):
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    upgrade(sqlite_url(folder))
    path = folder / "artefacts" / ARTEFACT[:2] / ARTEFACT
    path.parent.mkdir(parents=True)
    path.write_bytes(b"hello")
    store = Store(sqlite_url(folder))
    with store.write() as uow:
        uow.artefacts.add(ARTEFACT, 5, uow.now)
    store.close()
    return folder


def test_a_home_is_backed_up_and_restored_into_another_one(home, tmp_path, capsys):
    assert stillhouse("backup", "--to", tmp_path / "backup", "--home", home) == 0
    assert "1 rows, 1 artefacts (5e-09 GB)" in capsys.readouterr().out
    assert stillhouse("restore", tmp_path / "backup", "--home", tmp_path / "second") == 0
    assert "start the service, and its workers again" in capsys.readouterr().out
    assert (tmp_path / "second" / "artefacts" / ARTEFACT[:2] / ARTEFACT).read_bytes() == b"hello"
    assert stillhouse("restore", tmp_path / "backup", "--home", tmp_path / "second") == 2
    assert "a restore overwrites nothing: name an empty database" in capsys.readouterr().err


def test_backup_restore_and_migration_are_told_to_programs(home, tmp_path, capsys):
    assert stillhouse("backup", "--to", tmp_path / "backup", "--home", home, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["artefacts"], told["artefact_bytes"]) == (str(tmp_path / "backup"), 1, 5)
    assert stillhouse("restore", tmp_path / "backup", "--home", tmp_path / "second", "--json") == 0
    assert json.loads(capsys.readouterr().out) == told
    assert stillhouse("migrate", "--home", tmp_path / "second", "--json") == 0
    assert json.loads(capsys.readouterr().out)["up_to_date"] is True


def test_backup_of_a_home_without_a_database_says_so(tmp_path, capsys):
    assert stillhouse("backup", "--to", tmp_path / "backup", "--home", tmp_path / "nothing") == 2
    assert "there is no database of Stillhouse" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "backup").exists()


def test_migrate_makes_the_database(tmp_path, capsys):
    assert stillhouse("migrate", "--home", tmp_path / "home") == 0
    assert capsys.readouterr().out == "the database is up to date\n"
    assert (tmp_path / "home" / "stillhouse.db").exists()
