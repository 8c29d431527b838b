"""What `stillhouse doctor` finds, here and where things are missing."""

import json
import subprocess
import sys
import time
from importlib import metadata

import pytest

from cli.doctor import examine
from hardware.values import Device
from protocol.tokens import CreateToken, Scope
from service.operations.tokens import create_token


@pytest.fixture
def without(monkeypatch):
    """Lets packages look as if they were not installed."""

    def hide(*names):
        version = metadata.version

        def hidden(name):
            if name in names:
                raise metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr("cli.doctor.metadata.version", hidden)

    return hide


def test_this_machine_can_run_a_study_and_the_service_is_away(stillhouse, tmp_path):
    code, out, err = stillhouse("doctor")
    assert (code, err) == (0, "")
    for words in ("cpu", "torch_compile", "tpu v5e, estimated", "torch 2.", "will be made", "can run a study"):
        assert words in out
    assert "service  http://127.0.0.1:1: http://127.0.0.1:1 did not answer" in out
    assert list(tmp_path.iterdir()) == []


def test_programs_get_all_of_it(stillhouse):
    _, out, _ = stillhouse("doctor", "--json")
    found = json.loads(out)
    assert found["ok"] is True
    assert found["problems"] == []
    assert [device["device"] for device in found["devices"]] == list(Device)
    cpu = next(one for one in found["runtimes"] if (one["device"], one["runtime"]) == ("cpu", "torch"))
    assert cpu["dtypes"] == ["float32", "bfloat16"]
    worker = next(extra for extra in found["extras"] if extra["name"] == "worker")
    assert worker["packages"]["torch"] == metadata.version("torch")
    assert "dev" not in [extra["name"] for extra in found["extras"]]


def test_what_is_missing_is_named_with_what_installs_it(stillhouse, without):
    without("torch", "scipy", "onnx")
    code, out, _ = stillhouse("doctor", "--json")
    found = json.loads(out)
    assert code == 1
    missing = {extra["name"]: extra["missing"] for extra in found["extras"]}
    assert missing["worker"] == ["scipy", "torch"]
    assert missing["onnx"] == ["onnx"]
    assert found["problems"] == [
        "the extra server is not complete: pip install 'stillhouse[server]'",
        "the extra worker is not complete: pip install 'stillhouse[worker]'",
    ]
    _, out, _ = stillhouse("doctor")
    assert "pip install 'stillhouse[onnx]'" in out
    assert "this machine cannot run a study yet" in out


def test_a_home_that_cannot_be_used_is_a_problem(stillhouse, tmp_path):
    (tmp_path / "home").write_text("")
    code, out, _ = stillhouse("doctor")
    assert code == 1
    assert f"the home {tmp_path / 'home'} cannot be used: {tmp_path / 'home'} is a file, not a folder" in out


def test_a_full_disk_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr("cli.doctor.LEAST_FREE_BYTES", 10**18)
    (problem,) = examine(tmp_path, "http://127.0.0.1:1").problems
    assert "GB of room" in problem


def test_nothing_that_is_looked_for_is_imported(tmp_path):
    code = (
        "import sys\nfrom cli.main import main\n"
        f"try:\n    main(['doctor', '--json', '--home', {str(tmp_path)!r}, '--url', 'http://127.0.0.1:1'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = ('torch', 'jax', 'transformers', 'onnxruntime', 'sqlalchemy', 'fastapi', 'ax', 'libtpu')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_token_of_a_worker_is_right_where_it_is(stillhouse, closed, monkeypatch):
    address, store = closed
    with store.write() as uow:
        told = create_token(uow, CreateToken(name="gpu-1", scope=Scope.WORKER))
    monkeypatch.setenv("STILLHOUSE_URL", address)
    monkeypatch.setenv("STILLHOUSE_TOKEN", told.token)
    for _ in range(100):
        code, out, _ = stillhouse("doctor", "--json")
        if json.loads(out)["service"]["why"] is None:
            break
        time.sleep(0.1)
    assert (code, json.loads(out)["service"]["why"]) == (0, None)


def test_a_service_that_refuses_is_told_from_one_that_is_away(stillhouse, closed, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_URL", closed[0])
    code, out, _ = stillhouse("doctor", "--json")
    assert code == 0
    assert json.loads(out)["service"]["why"].startswith("it answers, and refuses: ")
    assert "token" in json.loads(out)["service"]["why"]
