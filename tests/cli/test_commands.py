"""What the command answers to good and bad input: messages, exit codes, streams."""

import json
import socket
import subprocess
import sys

import pytest

from cli.main import main

STUDY = "name: small\nteacher: built-in\ntask: {dataset: docstrings}\n"


@pytest.fixture
def stillhouse(capsys, monkeypatch, tmp_path):
    """Runs the command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STILLHOUSE_URL", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


@pytest.fixture
def study_file(tmp_path):
    def write(text=STUDY):
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return path

    return write


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'httpx', 'pydantic', 'numpy', 'sqlalchemy', 'rich', 'yaml')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("run", "serve", "suggest", "worker", "study", "front", "preview", "export"):
        assert f"\n  {command} " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STUDY + "buget: {trials: 3}\n", "unknown key 'buget'; did you mean 'budget'?"),
        (STUDY + "seed: zero\n", "small.yaml:4: seed"),
        (STUDY + "constraints: [parameters <= 10]\n", "parameters <= 10"),
        ("name: small\ntask: {dataset: docstrings}\n", "teacher: is missing"),
        (STUDY.replace("docstrings", "nowhere.tsv"), "task.dataset: there is no file or folder 'nowhere.tsv'"),
        (STUDY.replace("built-in", "./bert"), "teacher: there is no file or folder './bert'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "preview"])
def test_a_bad_study_file_is_refused_before_anything_starts(stillhouse, study_file, tmp_path, command, text, message):
    code, out, err = stillhouse(command, study_file(text))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "home").exists()


def test_a_missing_study_file_is_named(stillhouse):
    code, _, err = stillhouse("run", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err


def test_a_taken_port_is_named_and_nothing_is_started(stillhouse, study_file, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = stillhouse("run", study_file(), "--port", port)
    assert code == 2
    assert f"port {port} is taken" in err
    assert "--port" in err
    assert not (tmp_path / "home" / "logs").exists()


def test_a_port_that_may_not_be_had_is_not_called_taken(stillhouse, study_file, monkeypatch):
    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cli.ports.socket.socket.bind", refuse)
    code, _, err = stillhouse("run", study_file(), "--port", 80)
    assert code == 2
    assert "port 80 cannot be used: Permission denied" in err
    assert "--port" in err


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["run"], ["run", "x.yaml", "--port", "many"], ["worker", "--kind", "cook"]]
)
def test_wrong_arguments_exit_with_2(stillhouse, arguments):
    code, _, err = stillhouse(*arguments)
    assert code == 2
    assert err


def test_an_unknown_kind_of_job_is_named_with_the_known_ones(stillhouse):
    _, _, err = stillhouse("worker", "--kind", "cook")
    assert "'cook'" in err
    assert "distill" in err


@pytest.mark.parametrize("arguments", [["study", "list"], ["study", "show", "x"], ["front", "x"], ["export", "x"]])
def test_a_service_that_is_not_there_is_said(stillhouse, arguments, monkeypatch):
    monkeypatch.setattr("cli.reading.PATIENCE_S", 0.0)
    code, out, err = stillhouse(*arguments)
    assert (code, out) == (1, "")
    assert "http://127.0.0.1:1 did not answer" in err


def test_an_address_that_is_none_is_said(stillhouse):
    code, _, err = stillhouse("study", "list", "--url", "localhost:8787")
    assert code == 2
    assert "http://HOST:PORT" in err


def test_a_preview_is_readable_by_people_and_programs(stillhouse, study_file):
    code, out, _ = stillhouse("preview", study_file())
    assert code == 0
    assert "architectures" in out
    code, out, _ = stillhouse("preview", study_file(), "--json")
    assert code == 0
    assert json.loads(out)["preview"]["size"] > 100


def test_a_service_on_a_strange_address_or_database_is_refused(stillhouse):
    code, _, err = stillhouse("serve", "--host", "0.0.0.0")
    assert code == 2
    assert "loopback" in err
    code, _, err = stillhouse("serve", "--database-url", "mysql://x")
    assert code == 2
    assert "mysql:" in err
