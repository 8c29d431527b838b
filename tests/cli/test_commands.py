"""What the command answers to good and bad input: messages, exit codes, streams."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from client import Unreachable
from protocol.problem import Problem
from service.errors import SettingsError, StoreUnavailableError

STUDY = "name: small\nteacher: built-in\ntask: {dataset: docstrings}\n"
SPACE = (
    STUDY + "search_space:\n  layers: [1, 2]\n  hidden_size: 64\n  heads: {heads}\n  ffn_size: 8\n  {more}\n"
).replace("{dataset: docstrings}", "{{dataset: docstrings}}")


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
    for command in (
        "run",
        "distill",
        "reproduce",
        "measure",
        "serve",
        "suggest",
        "worker",
        "study",
        "front",
        "preview",
        "export",
    ):
        assert f"\n  {command} " in done.stdout
    assert "\n  calibrate " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STUDY + "buget: {trials: 3}\n", "unknown key 'buget'; did you mean 'budget'?"),
        (STUDY + "seed: zero\n", "small.yaml:4: seed"),
        (STUDY + "constraints: [parameters <= 10]\n", "parameters <= 10"),
        (
            STUDY + "search_space: brt\n",
            "small.yaml:4: search_space: unknown search space 'brt' (did you mean 'bert'?)",
        ),
        (SPACE.format(heads=5, more=""), "small.yaml:4: search_space: the search space is empty: no hidden_size of"),
        (SPACE.format(heads="{low: 4, high: 2}", more=""), "small.yaml:7: search_space.heads: empty range: high 2 is"),
        (SPACE.format(heads="[]", more=""), "small.yaml:7: search_space.heads: a choice needs at least one value"),
        (
            SPACE.format(heads=2, more="constraints:\n    - layers > 1\n    - layers <= 1"),
            "small.yaml:11: search_space.constraints.1: no architecture left has layers <= 1; the smallest has 2",
        ),
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


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_taken_port_is_named_and_nothing_is_written(stillhouse, study_file, tmp_path, command):
    arguments = [study_file()] if command == "run" else []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = stillhouse(command, *arguments, "--port", port)
    assert code == 2
    assert f"port {port} is taken" in err
    assert "--port" in err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("command", ["run", "serve", "suggest", "worker"])
def test_a_home_that_is_a_file_is_refused(stillhouse, study_file, tmp_path, command):
    (tmp_path / "home").write_text("")
    arguments = {"run": [study_file(), "--port", 0], "serve": ["--port", 0]}.get(command, [])
    code, out, err = stillhouse(command, *arguments)
    assert (code, out) == (2, "")
    assert f"the home {tmp_path / 'home'} cannot be used" in err


@pytest.mark.parametrize(
    ("error", "code"), [(SettingsError("it is newer"), 2), (StoreUnavailableError("it is away"), 1)]
)
def test_a_database_that_a_suggester_cannot_use_is_one_message(stillhouse, monkeypatch, error, code):
    def refuse(settings, guard, stop):
        raise error

    monkeypatch.setattr("service.suggester.run_suggester", refuse)
    found, _, err = stillhouse("suggest")
    assert found == code
    assert f"stillhouse: {error}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["serve", "--home", ""], ["worker", "--home", ""], ["export", "small", "--to", ""]]
)
def test_an_empty_folder_is_not_the_working_directory(stillhouse, arguments, tmp_path):
    code, _, err = stillhouse(*arguments)
    assert code == 2
    assert "it is empty" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "tiny/trials", "", "Tiny", "../../etc", "x\n"])
@pytest.mark.parametrize("command", [["front"], ["export"], ["study", "show"]])
def test_a_name_that_no_study_has_is_refused_without_asking(stillhouse, command, name):
    code, out, err = stillhouse(*command, name)
    assert (code, out) == (2, "")
    assert f"{name!r} is not the name of a study" in err


def test_a_run_that_is_interrupted_before_anything_started_says_how_to_continue(stillhouse, study_file, monkeypatch):
    def interrupted(path):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("cli.run.read_study", interrupted)
    path = study_file()
    code, out, err = stillhouse("run", path, "--again")
    assert (code, err) == (130, "")
    assert out.startswith("stopped; nothing is lost. To continue:\n    stillhouse run ")
    assert out.rstrip().endswith("--again")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "notaurl"], "'notaurl' is not an address of a service; write http://HOST:PORT"),
        (["--name", 300 * "w"], "a worker's name has 1 to 200 characters, got 300"),
        (["--name", ""], "a worker's name has 1 to 200 characters, got 0"),
    ],
)
def test_a_worker_that_cannot_be_is_refused(stillhouse, options, message):
    code, _, err = stillhouse("worker", *options)
    assert code == 2
    assert message in err
    assert "pydantic" not in err


class OtherVersion(BaseHTTPRequestHandler):
    """A service that serves no worker of this version."""

    def do_POST(self):
        why = "the worker speaks version 2 of the protocol, the service versions 5 to 7: upgrade the worker"
        body = Problem(title="Conflict", status=409, detail=why, code="upgrade_needed").model_dump_json().encode()
        self.send_response(409)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Not on stderr."""


def test_a_worker_whose_version_is_not_served_says_who_must_be_upgraded_and_ends_with_3(stillhouse):
    with HTTPServer(("127.0.0.1", 0), OtherVersion) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        code, _, err = stillhouse("worker", "--url", f"http://127.0.0.1:{server.server_port}", "--kind", "prepare")
        thread.join()
    assert code == 3
    assert "does not serve this worker" in err
    assert err.rstrip().endswith("upgrade the worker")


def test_https_where_there_is_only_http_is_said(stillhouse, monkeypatch):
    def unreachable(url, *, as_json):
        raise Unreachable(f"{url} did not answer: [SSL: WRONG_VERSION_NUMBER] wrong version number")

    monkeypatch.setattr("cli.reading.list_studies", unreachable)
    code, _, err = stillhouse("study", "list", "--url", "https://127.0.0.1:8787")
    assert code == 1
    assert "speaks http://, not https://" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device here that is always full")
def test_a_full_disk_behind_stdout_is_one_message(tmp_path):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "cli.main", "study", "schema"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("stillhouse: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr


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
    text = STUDY + "target: {length: 64}\nconstraints: [parameters <= 30M, latency_p50 <= 4 ms]\n"
    code, out, _ = stillhouse("preview", study_file(text))
    assert code == 0
    assert "architectures" in out
    for words in (
        "minimum",
        "parameters",
        "FLOPs of 1 x 64 tokens",
        "bytes of weights in float32",
        "parameters <= 30M",
    ):
        assert words in out
    assert "latency_p50 <= 4 ms" in out
    assert "when measured" in out
    # The teacher's vocabulary, which is not known yet, can only leave fewer.
    (bound,) = [line for line in out.splitlines() if "parameters <= 30M" in line]
    assert re.search(r"at most [\d,]+ of [\d,]+ .*at once, without token embeddings", bound)
    code, out, _ = stillhouse("preview", study_file(text), "--json")
    assert code == 0
    found = json.loads(out)["preview"]
    assert found["size"] > 100
    assert found["parameters"]["minimum"] < found["parameters"]["median"] < found["parameters"]["maximum"] <= 30e6
    assert 100 < found["constraints"][0]["met_by"] < found["constraints"][0]["of"]


def test_a_service_on_a_strange_address_or_database_is_refused(stillhouse):
    code, _, err = stillhouse("serve", "--host", "0.0.0.0")
    assert code == 2
    assert "loopback" in err
    code, _, err = stillhouse("serve", "--database-url", "mysql://x")
    assert code == 2
    assert "mysql:" in err
