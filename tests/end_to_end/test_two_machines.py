"""A study that one worker trains and another one measures: real processes, as on two machines."""

import contextlib
import json
import signal
import socket
import time

import pytest

from client import Client, ClientError
from protocol.jobs import JobKind
from protocol.views import StudyState

pytestmark = pytest.mark.slow  # what a worker may lease is told by tests/service/test_machines.py
PATIENCE_S = 240.0
TRAINING = (JobKind.PREPARE, JobKind.DISTILL, JobKind.FINALIZE)
MEASURING = (JobKind.CALIBRATE, JobKind.MEASURE)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found, what, processes):
    """Polls a real system; there is no clock to fake here."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for process in processes.values():
            assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(ClientError):
            if (value := found()) is not None:
                return value
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


def kinds(names):
    return [part for name in names for part in ("--kind", name)]


def test_a_study_is_trained_by_one_worker_and_measured_by_another(stillhouse, study_file, tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    path = study_file(trials=2)
    processes = {"service": stillhouse.start("serve", "--port", port)}
    logs = {}
    work = ("worker", "--url", url, "--threads", 1)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(url))
        stack.callback(end, processes, logs)
        until(lambda: client.healthy() or None, "the service", processes)
        created = stillhouse.run("study", "create", path, "--url", url)
        assert created.returncode == 0, created.stdout

        processes["trainer"] = stillhouse.start(*work, "--home", tmp_path / "one", *kinds(TRAINING))
        waiting = until(lambda: client.studies.view("small").machines or None, "the study to wait", processes)
        assert waiting == (
            "waiting for a machine that measures cpu torch float32 with 1 thread: no worker that is alive has it",
        )
        assert client.studies.view("small").state is StudyState.CALIBRATING

        processes["measurer"] = stillhouse.start(*work, "--home", tmp_path / "two", *kinds(MEASURING))

        def over():
            study = client.studies.view("small")
            return study if study.ended_at is not None else None

        study = until(over, "the study to end", processes)
        assert study.state is StudyState.COMPLETED, study.error
        assert study.machines == ()
        trials = client.studies.trials("small")
        exported = stillhouse.run("export", "small", "--url", url, "--to", tmp_path / "exports")
        assert exported.returncode == 0, exported.stdout

    latencies = [*study.references.values(), *(trial.latency for trial in trials)]
    (finalist,) = [trial.finalist for trial in trials if trial.finalist is not None]
    assert {latency.hardware_key for latency in (*latencies, finalist.latency)} == {study.hardware_key}
    assert finalist.evaluation.report is not None
    (folder,) = (tmp_path / "exports").iterdir()
    assert json.loads((folder / "config.json").read_text())["model_type"]

    assert jobs_of(logs["trainer"]) == {"prepare", "distill", "finalize"}
    assert jobs_of(logs["measurer"]) == {"calibrate", "measure"}


def jobs_of(log):
    """The kinds of jobs that a worker took."""
    lines = [line for line in log.splitlines() if "worker.loop: job" in line and " attempt " in line]
    return {line.partition(" attempt ")[2].split()[1] for line in lines}


def end(processes, logs):
    for process in reversed(processes.values()):
        process.send_signal(signal.SIGTERM)
    logs |= {name: process.communicate(timeout=60)[0] for name, process in processes.items()}
