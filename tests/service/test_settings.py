from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import SETTINGS, Settings


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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4"])
def test_other_addresses_are_known_as_such(host):
    """The service starts there with an administrator's token only: see `test_tokens.py`."""
    assert not Settings.from_environment({}, host=host).is_loopback


@pytest.mark.parametrize("host", ["example.org", "", "127.0.0.1:80", "[::1]"])
def test_anything_but_an_address_is_refused(host):
    with pytest.raises(SettingsError, match="host must be an address"):
        Settings.from_environment({}, host=host)


def test_settings_stand_in_a_file_in_the_home_and_give_way_to_the_environment(tmp_path):
    (tmp_path / "stillhouse.toml").write_text(
        """
        [service]
        port = 99
        lease_s = 7
        proxies = ["10.0.0.0/8"]
        tls_certificate = "tls/cert.pem"
        tls_key = "/etc/key.pem"
        """
    )
    settings = Settings.from_environment({"STILLHOUSE_LEASE_S": "5"}, home=tmp_path, port=None)
    assert (settings.port, settings.lease_s, settings.proxies) == (99, 5.0, ("10.0.0.0/8",))
    assert (settings.tls_certificate, settings.tls_key) == (tmp_path / "tls/cert.pem", Path("/etc/key.pem"))


def test_a_named_file_may_name_the_home_and_the_one_in_the_home_may_not(tmp_path):
    file = tmp_path / "stillhouse.toml"
    file.write_text('[service]\nhome = "elsewhere"\n')
    settings = Settings.from_environment({}, config=file)
    assert settings.home == tmp_path / "elsewhere"
    assert settings.database_url == f"sqlite:///{tmp_path}/elsewhere/stillhouse.db"
    with pytest.raises(SettingsError, match="found by its home, and cannot name another"):
        Settings.from_environment({}, home=tmp_path)


def test_every_field_of_the_settings_may_be_written_down():
    assert [setting.name for setting in SETTINGS if setting.name not in Settings.__dataclass_fields__] == []
    assert {setting.name for setting in SETTINGS} == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": 70_000}, "port"),
        ({"lease_s": 0}, "lease_s"),
        ({"lease_s": float("inf")}, "lease_s"),
        ({"lease_s": float("nan")}, "lease_s"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"largest_message_bytes": 0}, "largest_message_bytes"),
        ({"tls_key": Path("key.pem")}, "tls_certificate and tls_key belong together"),
        ({"proxies": ("10.0.0.1/8",)}, "proxies: '10.0.0.1/8' is neither an address nor a network"),
        ({"proxies": ("proxy",)}, "proxies: 'proxy'"),
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
