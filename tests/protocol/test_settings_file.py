from pathlib import Path

import pytest

from protocol.errors import SettingsFileError
from protocol.settings_file import Kind, Setting, gathered, printed, settings_file

SETTINGS = (
    Setting(name="host"),
    Setting(name="port", kind=Kind.WHOLE),
    Setting(name="lease_s", kind=Kind.NUMBER),
    Setting(name="hosts", kind=Kind.WORDS),
    Setting(name="key", kind=Kind.PATH),
    Setting(name="token", secret=True),
)
DEFAULTS = {"host": "here", "port": 1, "lease_s": 30.0, "hosts": ()}


def found(file=None, given=None, **environment):
    return gathered("service", SETTINGS, given=given or {}, environment=environment, file=file, defaults=DEFAULTS)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "stillhouse.toml"
        path.write_text(text)
        return settings_file(path, {}, tmp_path)

    return write


def test_command_line_comes_before_environment_before_file_before_default(file, tmp_path):
    all_of_them = file("[service]\nhost = 'filed'\nport = 2\nlease_s = 3\n[worker]\nthreads = 1\n")
    values = found(all_of_them, {"host": "given", "port": None}, STILLHOUSE_HOST="environed", STILLHOUSE_PORT="4")
    assert {name: (each.value, each.source) for name, each in values.items()} == {
        "host": ("given", "command line"),
        "port": (4, "environment, STILLHOUSE_PORT"),
        "lease_s": (3.0, f"file {tmp_path}/stillhouse.toml"),
        "hosts": ((), "default"),
        "key": (None, "default"),
        "token": (None, "default"),
    }


@pytest.mark.parametrize("value", ["", "tcp://10.0.0.1:8787"])
def test_a_variable_that_is_empty_or_kubernetes_own_says_nothing(value):
    assert found(STILLHOUSE_PORT=value)["port"].value == 1


def test_lists_are_words_in_the_environment_and_lists_in_the_file(file):
    assert found(STILLHOUSE_HOSTS=" a  b ")["hosts"].value == ("a", "b")
    assert found(file("[service]\nhosts = ['a', 'b']"))["hosts"].value == ("a", "b")


def test_a_path_in_the_file_is_beside_it_and_elsewhere_in_the_working_directory(file, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert found(file("[service]\nkey = 'tls/key.pem'"))["key"].value == tmp_path / "tls/key.pem"
    assert found(STILLHOUSE_KEY="tls/key.pem")["key"].value == Path("/tls/key.pem")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[service]\nprot = 1", r"stillhouse.toml: \[service\] has the unknown key 'prot'; did you mean 'port'\?"),
        ("[service]\nxyz = 1", "unknown key 'xyz'; known are host, port"),
        ("[servce]\nport = 1", r"unknown table \[servce\]; did you mean 'service'\?"),
        ("port = 1", r"'port' stands outside of a table; write it below \[service\]"),
        ("[service]\nport = ,", r"stillhouse.toml is no TOML: .*line 2"),
        ("[service]\nport = '1'", r"stillhouse.toml: port: must be a whole number, got '1'"),
        ("[service]\nport = true", "port: must be a whole number, got True"),
        ("[service]\nport = 1.5", "port: must be a whole number"),
        ("[service]\nlease_s = true", "lease_s: must be a number"),
        ("[service]\nhost = 1", "host: must be text"),
        ("[service]\nhosts = 'a'", "hosts: must be a list of texts"),
        ("[service]\nhosts = [1]", "hosts: must be a list of texts"),
        ("[service]\nkey = ''", "key: must be a path"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(file, text, message):
    with pytest.raises(SettingsFileError, match=message):
        found(file(text))


def test_what_is_wrong_in_the_environment_is_named():
    with pytest.raises(SettingsFileError, match="STILLHOUSE_PORT: must be a whole number, got 'many'"):
        found(STILLHOUSE_PORT="many")


def test_the_file_is_the_named_one_or_that_of_the_home(tmp_path):
    assert settings_file(None, {}, tmp_path) is None
    (tmp_path / "stillhouse.toml").write_text("")
    assert settings_file(None, {}, tmp_path).implied
    other = tmp_path / "other.toml"
    with pytest.raises(SettingsFileError, match=r"other.toml cannot be read: No such file"):
        settings_file(None, {"STILLHOUSE_CONFIG": str(other)}, tmp_path)
    other.write_text("")
    assert settings_file(None, {"STILLHOUSE_CONFIG": str(other)}, tmp_path).path == other
    assert settings_file(other, {"STILLHOUSE_CONFIG": "nowhere"}, tmp_path).path == other
    other.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsFileError, match="it is no text"):
        settings_file(other, {}, tmp_path)


def test_what_is_printed_says_where_each_is_from_hides_secrets_and_can_be_read_again(file):
    secret = f"sth_0123abcd_{43 * 'x'}"
    text = printed("service", found(file(f"[service]\nhosts = ['a', 'ü\"']\ntoken = '{secret}'\nlease_s = 2.5")))
    assert "port = 1  # default\n" in text
    assert f"lease_s = 2.5  # file {file('').path}" in text
    assert "# key is not set" in text
    assert 'token = "***"' in text
    assert secret[13:] not in text
    again = found(file(text))
    assert again["hosts"].value == ("a", 'ü"')
    assert again["lease_s"].value == 2.5


def test_passwords_in_addresses_are_not_printed(file):
    text = printed("service", found(file("[service]\nhost = 'postgresql://me:secret@there/db'")))
    assert 'host = "postgresql://me:***@there/db"' in text
