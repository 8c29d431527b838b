from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings


def test_home_is_in_the_working_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({})
    assert settings.home == tmp_path / ".stillhouse"
    assert settings.database_url == f"sqlite:///{tmp_path}/.stillhouse/stillhouse.db"
    assert settings.artefacts == tmp_path / ".stillhouse" / "artefacts"
    assert (settings.host, settings.port, settings.lease_s, settings.max_attempts) == ("127.0.0.1", 8787, 30, 3)


def test_environment_names_home_and_database():
    url = "postgresql://somebody@somewhere/stillhouse"
    environment = {"STILLHOUSE_HOME": "/srv/still", "STILLHOUSE_DATABASE_URL": url, "STILLHOUSE_LEASE_S": "2.5"}
    settings = Settings.from_environment({**environment, "STILLHOUSE_HOSTS": "here.example there.example"}, port=0)
    assert settings.hosts == ("here.example", "there.example")
    assert (settings.home, settings.database_url) == (Path("/srv/still"), url)
    assert (settings.lease_s, settings.port) == (2.5, 0)


def test_what_is_given_comes_before_the_environment():
    environment = {"STILLHOUSE_HOME": "/srv/still", "STILLHOUSE_LEASE_S": "2.5"}
    settings = Settings.from_environment(environment, home="/elsewhere", lease_s=4.0, database_url=None)
    assert settings.home == Path("/elsewhere")
    assert settings.lease_s == 4.0
    assert settings.database_url == "sqlite:////elsewhere/stillhouse.db"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_may_be_bound(host):
    assert Settings.from_environment({}, host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_anything_but_loopback_is_refused(host):
    with pytest.raises(SettingsError, match="is not loopback"):
        Settings.from_environment({}, host=host)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": 70_000}, "port"),
        ({"lease_s": 0}, "lease_s"),
        ({"lease_s": float("inf")}, "lease_s"),
        ({"lease_s": float("nan")}, "lease_s"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"database_url": "sqlite:///"}, "names no file"),
        ({"database_url": "sqlite:///:memory:"}, "names no file"),
        ({"database_url": "mysql://root:secret@here/db"}, "must start with sqlite"),
    ],
)
def test_setting_that_cannot_be_used_is_named(given, message):
    with pytest.raises(SettingsError, match=message) as refused:
        Settings.from_environment({}, **given)
    assert "secret" not in str(refused.value)


def test_lease_that_is_no_number_names_the_variable():
    with pytest.raises(SettingsError, match="STILLHOUSE_LEASE_S"):
        Settings.from_environment({"STILLHOUSE_LEASE_S": "long"})
