"""`stillhouse token` over a home of its own, and settings as the command prints them."""

import json
import re

import pytest

from protocol.secrets import TOKEN_PATTERN


def test_tokens_are_made_listed_and_revoked(stillhouse):
    code, out, err = stillhouse("token", "create", "--name", "me", "--scope", "admin", "--days", "90")
    assert code == 0
    token = out.strip()
    assert re.fullmatch(TOKEN_PATTERN, token)
    assert "it is shown only now" in err
    assert "from now on every request needs one" in err
    code, out, err = stillhouse("token", "create", "--name", "gpu-1", "--scope", "worker")
    assert "from now on" not in err
    assert "until it is revoked" in err

    code, out, _ = stillhouse("token", "list")
    assert code == 0
    assert "gpu-1" in out
    assert token.split("_")[2] not in out
    code, out, _ = stillhouse("token", "revoke", "gpu-1")
    assert (code, "is revoked" in out) == (0, True)
    code, out, _ = stillhouse("token", "list", "--json")
    found = {each["name"]: each for each in json.loads(out)}
    assert found["gpu-1"]["state"] == "revoked"
    assert found["me"]["state"] == "active"
    assert found["me"]["expires_at"] is not None
    code, out, _ = stillhouse("token", "revoke", found["me"]["id"], "--json")
    assert json.loads(out)["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["create", "--name", "me", "--scope", "root"],
            "scope: must be 'admin', 'user', 'worker' or 'read-only', got 'root'",
        ),
        (["create", "--name", "me", "--scope", "user", "--days", "0"], "days: must be above 0"),
        (["create", "--name", "", "--scope", "user"], "name: "),
        (["revoke", "nobody"], "there is no token 'nobody'"),
    ],
)
def test_what_cannot_be_is_one_message(stillhouse, arguments, message):
    code, out, err = stillhouse("token", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_service_for_others_says_how_to_make_the_token_that_it_needs(stillhouse, tmp_path):
    code, _, err = stillhouse("serve", "--host", "0.0.0.0", "--port", "0", "--no-suggester")
    assert code == 2
    assert f"stillhouse token create --scope admin --name NAME --home {tmp_path / 'home'}" in err


def test_settings_of_the_service_are_printed_with_their_source(stillhouse, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "stillhouse.toml"
    file.write_text("[service]\nlease_s = 45\nport = 1\n")
    monkeypatch.setenv("STILLHOUSE_DATABASE_URL", "postgresql://me:secret@there/db")
    code, out, _ = stillhouse("serve", "--port", "99", "--print-config")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "[service]"
    assert "port = 99  # command line" in lines
    assert f"lease_s = 45.0  # file {file}" in lines
    assert 'database_url = "postgresql://me:***@there/db"  # environment, STILLHOUSE_DATABASE_URL' in lines
    assert 'host = "127.0.0.1"  # default' in lines
    assert not (tmp_path / "home" / "stillhouse.db").exists()


def test_settings_of_a_worker_are_printed_without_its_token(stillhouse, tmp_path, monkeypatch):
    token = f"sth_0123abcd_{43 * 'x'}"
    monkeypatch.setenv("STILLHOUSE_TOKEN", token)
    file = tmp_path / "fleet.toml"
    file.write_text('[worker]\nkinds = ["distill", "finalize"]\ncache_gb = 1\n')
    code, out, _ = stillhouse("worker", "--config", file, "--threads", "2", "--print-config")
    assert code == 0
    lines = out.splitlines()
    assert 'url = "http://127.0.0.1:1"  # environment, STILLHOUSE_URL' in lines
    assert 'token = "***"  # environment, STILLHOUSE_TOKEN' in lines
    assert f'kinds = ["distill", "finalize"]  # file {file}' in lines
    assert "threads = 2  # command line" in lines
    assert token[13:] not in out


@pytest.mark.parametrize("command", ["serve", "suggest", "worker"])
def test_an_unknown_setting_is_refused_with_what_was_meant(stillhouse, tmp_path, command):
    file = tmp_path / "stillhouse.toml"
    table, key, meant = ("worker", "thread", "threads") if command == "worker" else ("service", "prot", "port")
    file.write_text(f"[{table}]\n{key} = 2\n")
    code, out, err = stillhouse(command, "--config", file)
    assert (code, out) == (2, "")
    assert f"{file}: [{table}] has the unknown key '{key}'; did you mean '{meant}'?" in err


def test_a_kind_of_job_that_nobody_knows_is_refused_from_the_file_too(stillhouse, tmp_path):
    file = tmp_path / "stillhouse.toml"
    file.write_text('[worker]\nkinds = ["cook"]\n')
    code, _, err = stillhouse("worker", "--config", file)
    assert code == 2
    assert "unknown kind of job 'cook'; known are prepare" in err
