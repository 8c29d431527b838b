"""Two API replicas, two suggesters and four workers over one PostgreSQL; one replica and one suggester are killed."""

import contextlib
import socket
import time

import pytest

from client import Client, ClientError
from protocol.views import StudyState
from tests.chaos.proxy import FaultyProxy
from tests.databases import postgres_server

pytestmark = pytest.mark.chaos
PATIENCE_S = 300.0


@pytest.fixture
def postgres():
    with postgres_server() as server:
        yield server.url


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found, what):
    """Polls a real system; there is no clock to fake here."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        with contextlib.suppress(ClientError):
            if found():
                return
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


def test_a_study_is_finished_although_a_replica_and_a_suggester_are_killed(stillhouse, study_file, postgres, tmp_path):
    stillhouse.environment |= {"STILLHOUSE_DATABASE_URL": postgres, "STILLHOUSE_LEASE_S": "5"}
    migrated = stillhouse.run("migrate")
    assert migrated.returncode == 0, migrated.stdout
    ports = [free_port(), free_port()]
    balancer = FaultyProxy(ports, rate=0.0, seed=0)
    with contextlib.ExitStack() as stack:
        stack.callback(balancer.close)
        outputs = {}

        def start(name, *arguments):
            """Its output goes to a file: nobody reads a pipe here, which would be full some time."""
            outputs[name] = tmp_path / f"{name}.log"
            process = stillhouse.start_logged(outputs[name], *arguments)
            stack.callback(process.wait, 60)
            stack.callback(process.kill)
            return process

        replicas = [start(f"replica-{port}", "serve", "--no-suggester", "--port", port) for port in ports]
        suggesters = [start(f"suggester-{place}", "suggest") for place in range(2)]
        for place in range(4):
            home = tmp_path / f"worker-{place}"
            start(f"worker-{place}", "worker", "--url", balancer.url, "--threads", 1, "--home", home)
        client = stack.enter_context(Client(balancer.url, patience_s=10.0))
        until(client.healthy, "a replica")
        created = stillhouse.run("study", "create", study_file(trials=6), "--url", balancer.url)
        assert created.returncode == 0, created.stdout

        until(lambda: sum(trial.state.ended for trial in client.studies.trials("small")) >= 2, "two trials")
        assert client.studies.view("small").state is StudyState.SEARCHING
        for victim in (replicas[0], suggesters[0]):
            victim.kill()
        until(lambda: client.studies.view("small").ended_at is not None, "the study to end")

        study, trials = client.studies.view("small"), client.studies.trials("small")
        logs = "\n".join(f"== {name}\n{path.read_text()[-2000:]}" for name, path in outputs.items())
        assert study.state is StudyState.COMPLETED, f"{study.error}\n{logs}"
        assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
        assert all(trial.state.ended for trial in trials)
        (finalist,) = [trial.finalist for trial in trials if trial.finalist is not None]
        assert finalist.evaluation.report is not None
        exported = stillhouse.run("export", "small", "--url", balancer.url, "--to", tmp_path / "exports")
        assert exported.returncode == 0, exported.stdout
        assert next((tmp_path / "exports").iterdir()).joinpath("model.safetensors").exists()
